"""Programs in the kernel: compiled objects in, counters by process and connection out (bpf(2)). The sources lie beside
their objects; `make bpf` compiles them.
"""
