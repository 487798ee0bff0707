//! How much memory the operating system still gives this process, as Linux tells it under `/proc` and
//! `/sys/fs/cgroup`.

use std::path::{Component, Path, PathBuf};

use opledger_dims::Integer;

/// Bytes of memory this process may still take, as the operating system tells: the machine's
/// available memory, half of what is left of the process's own limits (`ulimit -v`, `ulimit -d`) and
/// what is left in its control group and in those around it, whichever is least. `None` where none is told.
pub fn available_memory() -> Option<Integer> {
    least(&|path| std::fs::read_to_string(path).ok()).map(Integer::from)
}

/// How a file of the system is read.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The least of all limits.
fn least(read: Read<'_>) -> Option<u64> {
    let machine =
        read(Path::new("/proc/meminfo")).and_then(|text| kibibytes(&text, "MemAvailable"));
    let of_process = of_process(read);
    machine.into_iter().chain(of_process).chain(of_groups(read)).min()
}

/// The number of a line `key: number kB`.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let value = |line: &str| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned());
    let kib: u64 = text.lines().find_map(value)?.strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Address space for stacks of threads, buffers of kernels and what an allocator takes ahead.
const BESIDE: u64 = 32 << 20;

/// Half of what is left of the limits on address space and data (proc_pid_limits(5),
/// proc_pid_status(5)) beside the code, in memory or not, and what else the process has in memory: an
/// allocator takes large aligned pieces, which count against these limits, touched or not.
fn of_process(read: Read<'_>) -> Vec<u64> {
    let file = |name: &str| read(&Path::new("/proc/self").join(name)).unwrap_or_default();
    let (limits, status) = (file("limits"), file("status"));
    let of = |key: &str| kibibytes(&status, key);
    let code = of("VmExe").unwrap_or(0) + of("VmLib").unwrap_or(0);
    let used = of("VmRSS").map(|held| held.saturating_sub(of("RssFile").unwrap_or(0)) + code);
    let left = |name: &str| {
        // The soft limit comes first; `unlimited` is no number.
        let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
        let limit: u64 = rest.split_whitespace().next()?.parse().ok()?;
        Some(limit.saturating_sub(used?).saturating_sub(BESIDE) / 2)
    };
    ["Max address space", "Max data size"].into_iter().filter_map(left).collect()
}

/// A version of control groups: where its groups are, and the files of a group's limit, its usage,
/// and its statistics with the name of what the system gives back on demand.
struct Hierarchy {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    cached: &'static str,
}

/// Version 2, <https://docs.kernel.org/admin-guide/cgroup-v2.html>; also beside version 1.
const UNIFIED: [Hierarchy; 2] = [
    Hierarchy {
        root: "/sys/fs/cgroup",
        limit: "memory.max",
        usage: "memory.current",
        cached: "inactive_file",
    },
    Hierarchy {
        root: "/sys/fs/cgroup/unified",
        limit: "memory.max",
        usage: "memory.current",
        cached: "inactive_file",
    },
];

/// Version 1, <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>.
const MEMORY: [Hierarchy; 1] = [Hierarchy {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cached: "total_inactive_file",
}];

/// What is left in each group that the process is in, and in all around it (cgroups(7)).
fn of_groups(read: Read<'_>) -> Vec<u64> {
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mut left = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let hierarchies = match (number, controllers) {
            ("0", "") => &UNIFIED[..],
            _ if controllers.split(',').any(|name| name == "memory") => &MEMORY[..],
            _ => continue,
        };
        // Inside a container the path may be one of the host: what is not there says nothing.
        for hierarchy in hierarchies {
            let own = within(hierarchy.root, path);
            let around = own.ancestors().take_while(|group| group.starts_with(hierarchy.root));
            left.extend(around.filter_map(|group| hierarchy.left(group, read)));
        }
    }
    left
}

/// The folder of a group.
fn within(root: &str, path: &str) -> PathBuf {
    let names = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new(root).join(names.collect::<PathBuf>())
}

impl Hierarchy {
    /// What is left in a group; none where it has no limit.
    fn left(&self, group: &Path, read: Read<'_>) -> Option<u64> {
        let number = |name: &str| read(&group.join(name))?.trim().parse::<u64>().ok();
        let (limit, usage) = (number(self.limit)?, number(self.usage)?);
        // Files that were read and may be read again are given back before a process is killed.
        let statistics = read(&group.join("memory.stat")).unwrap_or_default();
        let cached = |line: &str| line.strip_prefix(self.cached)?.trim().parse::<u64>().ok();
        let cached = statistics.lines().find_map(cached).unwrap_or(0);
        Some(limit.saturating_sub(usage.saturating_sub(cached)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The least limit of a system with these files.
    fn left(files: &[(&str, &str)]) -> Option<u64> {
        let files: BTreeMap<&Path, &str> =
            files.iter().map(|(path, text)| (Path::new(*path), *text)).collect();
        least(&|path| files.get(path).map(|text| (*text).to_owned()))
    }

    const MEMINFO: (&str, &str) =
        ("/proc/meminfo", "MemTotal:  999 kB\nMemAvailable:   512 kB\nSwapFree: 0 kB\n");

    #[test]
    fn nothing_told_is_no_limit() {
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[MEMINFO]), Some(512 * 1024));
        assert_eq!(left(&[("/proc/meminfo", "MemAvailable: many kB")]), None);
    }

    #[test]
    fn limits_of_the_process_are_less_what_it_has() {
        let status = (
            "/proc/self/status",
            "VmSize:\t 900 kB\nVmRSS:\t 100 kB\nRssFile:\t 50 kB\nVmData:\t 20 kB\nVmExe:\t 35 kB\nVmLib:\t 15 kB\n",
        );
        let limits = |space: &str, data: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max data size             {data}                unlimited            bytes     \n\
                 Max address space         {space}               unlimited            bytes     \n"
            )
        };
        let at = |space: &str, data: &str| {
            left(&[MEMINFO, status, ("/proc/self/limits", &limits(space, data))])
        };
        assert_eq!(at("unlimited", "unlimited"), Some(512 * 1024));
        let limit = |left: u64| (2 * left + 100 * 1024 + BESIDE).to_string();
        assert_eq!(at(&limit(3000), "unlimited"), Some(3000));
        assert_eq!(at(&limit(3000), &limit(2000)), Some(2000));
        assert_eq!(at("1000", "unlimited"), Some(0), "more is taken than allowed");
    }

    #[test]
    fn the_narrowest_group_around_the_process_counts() {
        let group = ("/proc/self/cgroup", "0::/system.slice/job.service\n");
        let slice = [
            ("/sys/fs/cgroup/system.slice/memory.max", "300000\n"),
            ("/sys/fs/cgroup/system.slice/memory.current", "100000\n"),
            ("/sys/fs/cgroup/system.slice/memory.stat", "anon 1\ninactive_file 50000\n"),
        ];
        let own = [
            ("/sys/fs/cgroup/system.slice/job.service/memory.max", "max\n"),
            ("/sys/fs/cgroup/system.slice/job.service/memory.current", "90000\n"),
        ];
        let all = [&[MEMINFO, group][..], &slice, &own].concat();
        assert_eq!(left(&all), Some(250_000));
        let narrow = [
            ("/sys/fs/cgroup/system.slice/job.service/memory.max", "120000\n"),
            ("/sys/fs/cgroup/system.slice/job.service/memory.current", "90000\n"),
        ];
        assert_eq!(left(&[&[MEMINFO, group][..], &slice, &narrow].concat()), Some(30_000));
        // A process elsewhere is not in that slice.
        let elsewhere = ("/proc/self/cgroup", "0::/user.slice\n");
        assert_eq!(left(&[&[MEMINFO, elsewhere][..], &slice].concat()), Some(512 * 1024));
    }

    #[test]
    fn groups_of_version_1_count() {
        let groups =
            ("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/a/b\n3:cpuset:/\n0::/\n");
        let files = [
            MEMINFO,
            groups,
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "400000\n"),
            ("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "500000\n"),
            (
                "/sys/fs/cgroup/memory/a/memory.stat",
                "inactive_file 7\ntotal_inactive_file 300000\n",
            ),
        ];
        assert_eq!(left(&files), Some(200_000));
    }

    #[test]
    fn a_path_cannot_lead_out_of_the_hierarchy() {
        assert_eq!(within("/sys/fs/cgroup", "/../../etc"), Path::new("/sys/fs/cgroup/etc"));
        assert_eq!(within("/sys/fs/cgroup", "/"), Path::new("/sys/fs/cgroup"));
    }
}
