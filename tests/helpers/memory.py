"""Peak memory of a script in a process of its own."""

# ru_maxrss would start at the peak of the process that started this one: that of all tests so far.
PEAK_KIB = """
def peak_kib():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1])
"""
