//! Memory that a process has.

/// Bytes of memory that this process has in use, huge pages included, which the kernel counts apart (proc(5)).
pub fn in_use() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0u64)
    };
    1024 * (kilobytes("VmRSS:") + kilobytes("HugetlbPages:"))
}
