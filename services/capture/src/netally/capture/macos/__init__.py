"""What the agent reads on macOS, where the kernel's own tables are another: frames by scapy's BPF socket, interfaces,
sockets and processes by psutil. Flows, names and records come out as everywhere.
"""
