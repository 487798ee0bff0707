//! What the hardware is, as the operating system tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use opledger_kernels::isa;
use serde::{Deserialize, Serialize};

use crate::MeasureError;

/// A machine. What the operating system does not tell is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The operating system and its kernel.
    pub system: String,
    /// The architecture of the processor.
    pub architecture: String,
    /// The processor's name.
    pub processor: Option<String>,
    /// Processors that the operating system schedules on.
    pub logical_cores: Option<usize>,
    /// Cores, each of which may be several logical ones.
    pub physical_cores: Option<usize>,
    /// Logical cores that this process may use.
    pub usable_cores: usize,
    /// The caches, nearest first.
    pub caches: Vec<CacheLevel>,
    /// Bytes of main memory.
    pub memory_bytes: Option<u64>,
    /// The instruction set the kernels run on.
    pub isa: String,
    /// Whether `OPLEDGER_ISA` chose it.
    pub isa_forced: bool,
}

/// The caches of one level and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheLevel {
    /// 1 is nearest to the core.
    pub level: u32,
    /// `data`, `instruction` or `unified`.
    pub kind: String,
    /// Bytes of one of them.
    pub bytes: u64,
    /// How many of them there are.
    pub instances: usize,
}

impl Machine {
    /// This machine.
    ///
    /// # Errors
    /// When `OPLEDGER_ISA` asks for an instruction set that is not to be had.
    pub fn here() -> Result<Machine, MeasureError> {
        Machine::under(Path::new("/"))
    }

    /// The machine that the files of Linux below a root describe.
    fn under(root: &Path) -> Result<Machine, MeasureError> {
        let read = |path: &str| fs::read_to_string(root.join(path)).ok();
        let cpus = root.join("sys/devices/system/cpu");
        let processor =
            read("proc/cpuinfo").and_then(|text| field(&text, "model name").map(str::to_owned));
        let release = read("proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        let name = read("etc/os-release").and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
            Some(line.trim_matches('"').to_owned())
        });
        let mut system = [Some(std::env::consts::OS.to_owned()), release];
        if let [Some(os), Some(release)] = &mut system {
            *os += &format!(" {release}");
        }
        let [os, _] = system;
        let parts: Vec<String> = [os, name].into_iter().flatten().collect();
        let memory = read("proc/meminfo").and_then(|text| {
            let kib = field(&text, "MemTotal")?.strip_suffix("kB")?.trim().parse::<u64>().ok()?;
            kib.checked_mul(1024)
        });
        Ok(Machine {
            system: parts.join(", "),
            architecture: std::env::consts::ARCH.to_owned(),
            processor,
            logical_cores: read("sys/devices/system/cpu/online").and_then(|text| listed(&text)),
            physical_cores: physical(&cpus),
            usable_cores: std::thread::available_parallelism().map_or(1, usize::from),
            caches: caches(&cpus),
            memory_bytes: memory,
            isa: isa()?.name().to_owned(),
            isa_forced: std::env::var_os("OPLEDGER_ISA").is_some(),
        })
    }

    /// Bytes of all caches of the last level together.
    pub fn last_level_bytes(&self) -> Option<u64> {
        let last = self.caches.iter().filter(|cache| cache.kind != "instruction");
        let last = last.max_by_key(|cache| cache.level)?;
        last.bytes.checked_mul(last.instances as u64)
    }

    /// In what two machines differ, a line for each, this one being the later; what decides no speed
    /// (the version of the system) is passed over.
    pub fn differences(&self, saved: &Machine) -> Vec<String> {
        let caches = |machine: &Machine| {
            let shown: Vec<String> = machine.caches.iter().map(CacheLevel::to_string).collect();
            shown.join(", ")
        };
        let number = |n: Option<usize>| n.map_or("unknown".to_owned(), |n| n.to_string());
        let text = |t: &Option<String>| t.clone().unwrap_or("unknown".to_owned());
        let pairs = [
            ("processor", text(&saved.processor), text(&self.processor)),
            ("architecture", saved.architecture.clone(), self.architecture.clone()),
            ("logical cores", number(saved.logical_cores), number(self.logical_cores)),
            ("physical cores", number(saved.physical_cores), number(self.physical_cores)),
            ("usable cores", saved.usable_cores.to_string(), self.usable_cores.to_string()),
            ("caches", caches(saved), caches(self)),
            ("instruction set", saved.isa.clone(), self.isa.clone()),
        ];
        let differ = pairs.into_iter().filter(|(_, then, now)| then != now);
        differ.map(|(what, then, now)| format!("{what}: then {then}, now {now}")).collect()
    }
}

impl std::fmt::Display for CacheLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CacheLevel { level, kind, bytes, instances } = self;
        write!(f, "{} × {} L{level} {kind}", instances, binary(*bytes))
    }
}

/// How many threads of all programs ran or waited for a core over the last minute, as Linux tells.
pub(crate) fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Says so when other programs took a good part of the machine.
pub(crate) fn busy(load: Option<f64>, cores: usize) -> Option<String> {
    let load = load.filter(|load| *load > 0.3 * cores as f64)?;
    Some(format!(
        "the machine was busy before (load average {load:.1}, usable cores {cores}): what is \
         measured may be too low"
    ))
}

/// A number of bytes in the greatest unit of which it has at least one.
pub(crate) fn binary(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((unit, shift)) if bytes.is_multiple_of(1 << shift) => {
            format!("{} {unit}", bytes >> shift)
        }
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
    }
}

/// The value after `name :` in the first such line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// How many numbers a list such as `0-3,8` has.
fn listed(text: &str) -> Option<usize> {
    text.trim().split(',').try_fold(0usize, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// The folders `prefix0`, `prefix1`, … of a folder.
fn numbered(folder: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let numbered = entries.filter(|entry| {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(prefix));
        digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    });
    numbered.map(|entry| entry.path()).collect()
}

fn physical(cpus: &Path) -> Option<usize> {
    let core = |cpu: std::path::PathBuf| {
        let read = |name: &str| fs::read_to_string(cpu.join("topology").join(name)).ok();
        Some((read("physical_package_id")?, read("core_id")?))
    };
    let cores: BTreeSet<_> = numbered(cpus, "cpu").into_iter().filter_map(core).collect();
    (!cores.is_empty()).then_some(cores.len())
}

fn caches(cpus: &Path) -> Vec<CacheLevel> {
    let one = |index: std::path::PathBuf| {
        let read = |name: &str| {
            fs::read_to_string(index.join(name)).ok().map(|text| text.trim().to_ascii_lowercase())
        };
        let size = read("size")?;
        let kib: u64 = size.strip_suffix('k').and_then(|kib| kib.parse().ok())?;
        let level: u32 = read("level")?.parse().ok()?;
        Some((level, read("type")?, kib.checked_mul(1024)?, read("shared_cpu_list")?))
    };
    let indices =
        numbered(cpus, "cpu").into_iter().flat_map(|c| numbered(&c.join("cache"), "index"));
    let distinct: BTreeSet<_> = indices.filter_map(one).collect();
    let mut caches: Vec<CacheLevel> = Vec::new();
    for (level, kind, bytes, _) in distinct {
        match caches.last_mut() {
            Some(last) if (last.level, &last.kind, last.bytes) == (level, &kind, bytes) => {
                last.instances += 1;
            }
            _ => caches.push(CacheLevel { level, kind, bytes, instances: 1 }),
        }
    }
    caches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two packages of two cores, each core two logical ones.
    fn described() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/cpuinfo", "processor\t: 0\nmodel name\t: A Processor\nprocessor\t: 1\n");
        write("proc/meminfo", "MemFree: 1 kB\nMemTotal:        2048 kB\n");
        write("etc/os-release", "NAME=\"X\"\nPRETTY_NAME=\"A System 12\"\n");
        write("sys/devices/system/cpu/online", "0-6,7\n");
        write("sys/devices/system/cpu/cpufreq/policy", "");
        for cpu in 0..8 {
            let (package, core) = (cpu / 4, cpu % 2);
            let at = format!("sys/devices/system/cpu/cpu{cpu}");
            write(&format!("{at}/topology/physical_package_id"), &format!("{package}\n"));
            write(&format!("{at}/topology/core_id"), &format!("{core}\n"));
            let caches = [
                ("Data", 1, "48K", format!("{package}-{core}")),
                ("Instruction", 1, "32K", format!("{package}-{core}")),
                ("Unified", 2, "2048K", format!("{package}")),
            ];
            for (index, (kind, level, size, shared)) in caches.into_iter().enumerate() {
                let at = format!("{at}/cache/index{index}");
                write(&format!("{at}/type"), &format!("{kind}\n"));
                write(&format!("{at}/level"), &format!("{level}\n"));
                write(&format!("{at}/size"), &format!("{size}\n"));
                write(&format!("{at}/shared_cpu_list"), &format!("{shared}\n"));
            }
        }
        root
    }

    #[test]
    fn a_machine_is_read_from_its_files() {
        let root = described();
        let machine = Machine::under(root.path()).unwrap();
        assert_eq!(machine.processor.as_deref(), Some("A Processor"));
        assert!(machine.system.ends_with("A System 12"), "{}", machine.system);
        assert_eq!((machine.logical_cores, machine.physical_cores), (Some(8), Some(4)));
        assert_eq!(machine.memory_bytes, Some(2 << 20));
        let cache = |level, kind: &str, bytes, instances| CacheLevel {
            level,
            kind: kind.to_owned(),
            bytes,
            instances,
        };
        let expected = [
            cache(1, "data", 48 << 10, 4),
            cache(1, "instruction", 32 << 10, 4),
            cache(2, "unified", 2 << 20, 2),
        ];
        assert_eq!(machine.caches, expected);
        assert_eq!(machine.last_level_bytes(), Some(4 << 20));
        assert_eq!(machine.caches[2].to_string(), "2 × 2 MiB L2 unified");
    }

    #[test]
    fn what_is_not_told_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::under(root.path()).unwrap();
        assert_eq!((machine.processor, machine.logical_cores), (None, None));
        assert_eq!((machine.physical_cores, machine.memory_bytes), (None, None));
        assert!(machine.caches.is_empty());
        assert_eq!(listed("3-1"), None);
        assert_eq!(listed("0-18446744073709551615"), None);
    }

    #[test]
    fn machines_differ_by_what_decides_their_speed() {
        let root = described();
        let one = Machine::under(root.path()).unwrap();
        let mut other = Machine { system: "another".to_owned(), ..one.clone() };
        assert!(one.differences(&other).is_empty());
        other.processor = Some("B".to_owned());
        other.caches.pop();
        let found = one.differences(&other);
        assert_eq!(found[0], "processor: then B, now A Processor");
        assert!(found[1].starts_with("caches: then ") && found.len() == 2, "{found:?}");
    }

    #[test]
    fn a_busy_machine_is_told() {
        assert_eq!(busy(None, 2), None);
        assert_eq!(busy(Some(0.5), 2), None);
        let told = busy(Some(3.2), 2).unwrap();
        assert!(told.contains("load average 3.2, usable cores 2"), "{told}");
        assert_eq!(load().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn bytes_are_shown_in_binary_units() {
        let shown = [1023, 1024, 1536, 5 << 20, 3 << 29].map(binary);
        assert_eq!(shown, ["1023 B", "1 KiB", "1.5 KiB", "5 MiB", "1.5 GiB"]);
    }
}
