// PostgreSQL's wire protocol in front of databases that are compiled to WebAssembly. A fixture of tests, nothing else.
//
//   node bridge.mjs <folder of the unpacked package>
//
// The database named in a connection's startup message is an engine of its own. Orders come as JSON lines on standard
// input, each is answered by one JSON line: {"port"} at the start; {"op": "create", "name", "from"?} makes an engine,
// empty but for the extension, or as kept; {"op": "keep", "name", "as"} keeps its present state; {"op": "drop", "name"}.
// The end of standard input ends everything.
//
// One engine is one session: all its connections share prepared statements, settings and temporary tables, and only
// one of them has the turn, until the engine says that it is idle (no transaction open).
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const folder = process.argv[2]
const load = (file) => import(pathToFileURL(`${folder}/dist/${file}`).href)
const { PGlite } = await load('index.js')
const { timescaledb } = await load('timescaledb/index.js')

const SSL_REQUEST = 80877103
const GSS_REQUEST = 80877104
const CANCEL_REQUEST = 80877102
const COPY_IN = /^\s*copy\b[^;]*\bfrom\s+stdin\b/i
// The engine begins its session with other settings than a server does, and goes back to those.
const RESET = /\breset\s+all\b/i
const DEFAULTS = `SET search_path = "$user", public; SET TIME ZONE 'UTC'`
const engines = new Map()
const kept = new Map()

function message(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
const int32 = (value) => {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}
const parameter = (name, value) => message('S', `${name}\0${value}\0`)
const failure = (text) => message('E', `SFATAL\0VFATAL\0C3D000\0M${text}\0\0`)
const READY = message('Z', 'I')
const GREETING = Buffer.concat([
  message('R', int32(0)),
  parameter('server_version', '17.5'),
  parameter('server_encoding', 'UTF8'),
  parameter('client_encoding', 'UTF8'),
  parameter('DateStyle', 'ISO, MDY'),
  parameter('TimeZone', 'UTC'),
  parameter('integer_datetimes', 'on'),
  parameter('standard_conforming_strings', 'on'),
  message('K', int32(1), int32(1)),
  READY,
])

/** Calls `found(type, whole message)` for each complete message, returns the rest. */
function* split(buffer) {
  let at = 0
  while (buffer.length - at >= 5) {
    const length = buffer.readUInt32BE(at + 1) + 1
    if (buffer.length - at < length) break
    yield [String.fromCharCode(buffer[at]), buffer.subarray(at, at + length)]
    at += length
  }
  return at
}

async function create(name, from) {
  const db = await PGlite.create({ extensions: { timescaledb }, ...(from ? { loadDataDir: kept.get(from) } : {}) })
  // The first use loads the library, later statements may then set its parameters.
  await db.exec('CREATE EXTENSION IF NOT EXISTS timescaledb; SELECT timescaledb_pre_restore(), timescaledb_post_restore(); ' + DEFAULTS)
  engines.set(name, { db, turn: Promise.resolve() })
}

/** One client: collects messages, takes the engine's turn with the first and gives it back when all is idle. */
function serve(socket) {
  let input = Buffer.alloc(0)
  let started = false
  let engine = null
  let give = null // gives the turn back; null while this client does not have it
  let open = false // a transaction is open
  let pending = []
  let copying = null // the COPY statement and its data so far
  let gone = false
  let work = Promise.resolve()

  async function take() {
    if (give) return
    const before = engine.turn
    engine.turn = new Promise((resolve) => (give = resolve))
    await before
  }
  function release() {
    give?.()
    give = null
  }
  async function execute(bytes, drop, afterwards) {
    const answer = Buffer.from(await engine.db.execProtocolRaw(bytes, { syncToFs: false }))
    await afterwards?.()
    const out = []
    let idle = false
    for (const [type, whole] of split(answer)) {
      if (type === 'Z') {
        open = whole[5] !== 0x49
        idle = !open
      }
      if (type !== drop) out.push(whole)
    }
    if (!gone) socket.write(Buffer.concat(out))
    if (idle) release()
  }
  async function handle(type, whole) {
    if (copying) {
      copying.push(whole)
      if (type === 'c' || type === 'f') {
        const all = Buffer.concat(copying)
        copying = null
        await execute(all, 'G')
      }
      return
    }
    if (type === 'X') return socket.end()
    await take()
    if (type === 'Q' && COPY_IN.test(whole.toString('utf8', 5, Math.min(whole.length, 4096)))) {
      copying = [whole]
      socket.write(message('G', Buffer.from([1, 0, 0])))
      return
    }
    pending.push(whole)
    if (type === 'Q' || type === 'S' || type === 'H') {
      const all = Buffer.concat(pending)
      pending = []
      const resets = type === 'Q' && RESET.test(whole.toString('utf8', 5, Math.min(whole.length, 4096)))
      await execute(all, null, resets ? () => engine.db.exec(DEFAULTS) : null)
    }
  }
  async function leave() {
    if (!give) return
    await engine.db.execProtocolRaw(message('S'), { syncToFs: false })
    if (open) await engine.db.execProtocolRaw(message('Q', 'ROLLBACK\0'), { syncToFs: false })
    release()
  }
  function start() {
    while (!started && input.length >= 8) {
      const length = input.readUInt32BE(0)
      if (input.length < length) return
      const code = input.readUInt32BE(4)
      const body = input.toString('utf8', 8, length)
      input = input.subarray(length)
      if (code === SSL_REQUEST || code === GSS_REQUEST) socket.write('N')
      else if (code === CANCEL_REQUEST) return socket.end()
      else {
        const words = body.split('\0')
        const name = words[words.indexOf('database') + 1]
        engine = engines.get(name)
        if (!engine) return socket.end(failure(`database "${name}" does not exist`))
        started = true
        socket.write(GREETING)
      }
    }
  }

  socket.setNoDelay(true)
  socket.on('data', (chunk) => {
    input = input.length ? Buffer.concat([input, chunk]) : chunk
    if (!started) start()
    if (!started) return
    const messages = split(input)
    let next = messages.next()
    for (; !next.done; next = messages.next()) {
      const [type, whole] = next.value
      work = work.then(() => (gone ? undefined : handle(type, whole)))
    }
    input = input.subarray(next.value)
    work = work.catch((error) => {
      process.stderr.write(`${String(error.message).slice(0, 500)}\n`)
      socket.destroy()
    })
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    gone = true
    work = work.then(leave, leave)
  })
}

const server = createServer(serve)
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`)
server.listen(0, '127.0.0.1', async () => {
  say({ port: server.address().port })
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line)
    try {
      if (order.op === 'create') await create(order.name, order.from)
      if (order.op === 'keep') kept.set(order.as, await engines.get(order.name).db.dumpDataDir('none'))
      if (order.op === 'drop') {
        const engine = engines.get(order.name)
        engines.delete(order.name)
        await engine?.db.close()
      }
      say({ done: true, resident: process.memoryUsage().rss })
    } catch (error) {
      say({ error: String(error.message).slice(0, 500) })
    }
  }
  process.exit(0)
})
