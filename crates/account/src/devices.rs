//! What devices can do at most, as it was read.

use opledger_ir::Elem;

/// A figure and where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Bytes, bytes a second or operations a second.
    pub value: u64,
    /// The address of the page that says so.
    pub source: &'static str,
}

/// A device. GB is 10⁹ bytes, as its source writes it; a multiplication and an addition are two operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// Its name, in small letters.
    pub name: &'static str,
    /// Bytes of its memory.
    pub memory: Figure,
    /// Bytes a second between it and its memory.
    pub bandwidth: Figure,
    /// Operations a second in products of matrices, dense, by the type of their elements: what no source was
    /// read for is not there.
    pub peaks: &'static [(Elem, Figure)],
}

impl KnownDevice {
    /// Operations a second of a type, where they are known.
    pub fn peak(&self, elem: Elem) -> Option<Figure> {
        self.peaks.iter().find(|(own, _)| *own == elem).map(|(_, figure)| *figure)
    }
}

/// All devices.
///
/// ```
/// use opledger::account::devices;
///
/// let device = devices().iter().find(|device| device.name == "h200").unwrap();
/// assert_eq!(device.memory.value, 141_000_000_000);
/// assert!(device.bandwidth.source.starts_with("https://"));
/// ```
pub fn devices() -> &'static [KnownDevice] {
    DEVICES
}

const GIGA: u64 = 1_000_000_000;
/// Of 10¹² operations, their thousandth.
const MILLI_TERA: u64 = GIGA;

const A100: &str = "https://glennklockwood.com/garden/processors/A100";
const A100_MEMORY: &str = "https://www.thundercompute.com/blog/nvidia-a100-specs-full-guide";
const H100: &str = "https://glennklockwood.com/garden/processors/h100";
/// The table of the vendor, with sparsity: half of what it says of products.
const H100_TABLE: &str = "https://archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html";
const MI300X_H200: &str = "https://github.com/alpharomercoma/MI300X-vs-H200/blob/6077fdc7bfc215171c33435b7cd76ca4c5f2b236/METHODOLOGY.md";
const B200: &str = "https://glennklockwood.com/garden/processors/B200";
/// A dealer's copy of the vendor's table, whose figures with sparsity are starred.
const L40S: &str = "https://www.mullet.se/product.html?product_id=355414";
const TPU_V5E: &str = "https://cloud.google.com/tpu/docs/v5e";
const TPU_V5P: &str = "https://docs.cloud.google.com/tpu/docs/v5p-training";
const TPU_V6E: &str = "https://docs.cloud.google.com/tpu/docs/v6e";

const fn giga(value: u64, source: &'static str) -> Figure {
    Figure { value: value * GIGA, source }
}

/// Thousandths of 10¹² operations a second.
const fn peak(elem: Elem, value: u64, source: &'static str) -> (Elem, Figure) {
    (elem, Figure { value: value * MILLI_TERA, source })
}

const A100_PEAKS: &[(Elem, Figure)] = &[
    peak(Elem::F32, 19_500, A100),
    peak(Elem::Bf16, 312_000, A100),
    peak(Elem::F16, 312_000, A100),
    peak(Elem::I8, 624_000, A100),
];

const DEVICES: &[KnownDevice] = &[
    KnownDevice {
        name: "a100-sxm-40gb",
        memory: giga(40, A100),
        bandwidth: giga(1_555, A100),
        peaks: A100_PEAKS,
    },
    KnownDevice {
        name: "a100-sxm-80gb",
        memory: giga(80, A100),
        bandwidth: giga(2_039, A100_MEMORY),
        peaks: A100_PEAKS,
    },
    // At 1000 W, on a board of eight.
    KnownDevice {
        name: "b200-hgx",
        memory: giga(192, B200),
        bandwidth: giga(8_000, B200),
        peaks: &[
            peak(Elem::F32, 80_000, B200),
            peak(Elem::Bf16, 2_250_000, B200),
            peak(Elem::F16, 2_250_000, B200),
            peak(Elem::I8, 4_500_000, B200),
        ],
    },
    KnownDevice {
        name: "h100-pcie",
        memory: giga(80, H100_TABLE),
        bandwidth: giga(2_000, H100_TABLE),
        peaks: &[
            peak(Elem::F32, 51_000, H100_TABLE),
            peak(Elem::Bf16, 756_500, H100_TABLE),
            peak(Elem::F16, 756_500, H100_TABLE),
            peak(Elem::I8, 1_513_000, H100_TABLE),
        ],
    },
    KnownDevice {
        name: "h100-sxm",
        memory: giga(80, H100_TABLE),
        bandwidth: giga(3_350, H100_TABLE),
        peaks: &[
            peak(Elem::F32, 66_900, H100),
            peak(Elem::Bf16, 989_400, H100),
            peak(Elem::F16, 989_400, H100),
            peak(Elem::I8, 1_978_900, H100),
        ],
    },
    KnownDevice {
        name: "h200",
        memory: giga(141, MI300X_H200),
        bandwidth: giga(4_800, MI300X_H200),
        peaks: &[peak(Elem::Bf16, 989_400, MI300X_H200)],
    },
    KnownDevice {
        name: "l40s",
        memory: giga(48, L40S),
        bandwidth: giga(864, L40S),
        peaks: &[
            peak(Elem::F32, 91_600, L40S),
            peak(Elem::Bf16, 362_050, L40S),
            peak(Elem::F16, 362_050, L40S),
        ],
    },
    KnownDevice {
        name: "mi300x",
        memory: giga(192, MI300X_H200),
        bandwidth: giga(5_300, MI300X_H200),
        peaks: &[peak(Elem::Bf16, 1_307_400, MI300X_H200)],
    },
    KnownDevice {
        name: "tpu-v5e",
        memory: giga(16, TPU_V5E),
        bandwidth: giga(819, TPU_V5E),
        peaks: &[peak(Elem::Bf16, 197_000, TPU_V5E), peak(Elem::I8, 393_000, TPU_V5E)],
    },
    KnownDevice {
        name: "tpu-v5p",
        memory: giga(95, TPU_V5P),
        bandwidth: giga(2_765, TPU_V5P),
        peaks: &[peak(Elem::Bf16, 459_000, TPU_V5P)],
    },
    KnownDevice {
        name: "tpu-v6e",
        memory: giga(32, TPU_V6E),
        bandwidth: giga(1_638, TPU_V6E),
        peaks: &[peak(Elem::Bf16, 918_000, TPU_V6E), peak(Elem::I8, 1_836_000, TPU_V6E)],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_figure_is_above_nothing_and_has_an_address() {
        let names: BTreeSet<&str> = devices().iter().map(|device| device.name).collect();
        assert_eq!(names.len(), devices().len());
        for device in devices() {
            let peaks = device.peaks.iter().map(|(_, figure)| figure);
            for figure in [&device.memory, &device.bandwidth].into_iter().chain(peaks) {
                assert!(figure.value > 0 && figure.source.starts_with("https://"), "{device:?}");
            }
            assert!(device.peak(Elem::Bf16).is_some() && device.peak(Elem::I4).is_none());
        }
    }
}
