"""What crosses a process boundary: flow batches, statuses, commands and outcomes, as msgspec Structs.

Pure: msgspec, zstandard and the standard library only; nothing of ours is imported.
Rule of evolution: fields are appended at the end with a default, never reordered, renamed or removed
(a reordered array-like Struct decodes silently wrong); the golden bytes in the tests hold that.
"""
