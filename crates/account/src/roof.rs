//! What a device can do at most in products of one type.

use num_traits::ToPrimitive;
use opledger_dims::{Integer, nearest};
use opledger_ir::Elem;
use opledger_report::BoundDevice;

use crate::{AccountError, devices};

/// What a device can do at most in products of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRoof {
    /// Its name.
    pub device: String,
    /// The type of the elements that are multiplied, stored and moved.
    pub elem: Elem,
    /// Operations a second in products.
    pub operations: u64,
    /// Where that is from.
    pub operations_source: String,
    /// Bytes a second between it and its memory.
    pub bytes: u64,
    /// Where that is from.
    pub bytes_source: String,
}

impl DeviceRoof {
    /// That of a device by its name.
    ///
    /// ```
    /// use opledger::{Elem, account::DeviceRoof};
    ///
    /// let roof = DeviceRoof::of("h100-sxm", Elem::Bf16)?;
    /// assert_eq!((roof.operations, roof.bytes), (989_400_000_000_000, 3_350_000_000_000));
    /// let problem = DeviceRoof::of("h200", Elem::F32).unwrap_err().to_string();
    /// assert!(problem.contains("h200") && problem.contains("f32"));
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When no device is called so, or nobody says what it does in products of that type.
    pub fn of(name: &str, elem: Elem) -> Result<DeviceRoof, AccountError> {
        let names = || devices().iter().map(|device| device.name);
        let known = devices().iter().find(|device| device.name == name).ok_or_else(|| {
            let several: Vec<&str> = names().filter(|own| own.starts_with(name)).collect();
            let near = nearest(name, names());
            AccountError::NoDevice {
                name: name.to_owned(),
                meant: match (name.is_empty(), several.is_empty()) {
                    (false, false) => several,
                    _ => near.into_iter().collect(),
                },
                known: names().collect(),
            }
        })?;
        let Some(peak) = known.peak(elem) else {
            return Err(AccountError::NoPeak {
                device: name.to_owned(),
                elem,
                known: known.peaks.iter().map(|(elem, _)| *elem).collect(),
            });
        };
        Ok(DeviceRoof {
            device: name.to_owned(),
            elem,
            operations: peak.value,
            operations_source: peak.source.to_owned(),
            bytes: known.bandwidth.value,
            bytes_source: known.bandwidth.source.to_owned(),
        })
    }

    /// Seconds that so many operations in products and so many bytes take at least: the longer of the two.
    pub fn least(&self, operations: &Integer, bytes: &Integer) -> f64 {
        let seconds = |of: &Integer, rate: u64| of.to_f64().unwrap_or(f64::INFINITY) / rate as f64;
        seconds(operations, self.operations).max(seconds(bytes, self.bytes))
    }

    /// As records tell it.
    pub fn record(&self) -> BoundDevice {
        BoundDevice {
            name: self.device.clone(),
            dtype: self.elem.name(),
            operations_per_second: self.operations,
            operations_source: self.operations_source.clone(),
            bytes_per_second: self.bytes,
            bytes_source: self.bytes_source.clone(),
        }
    }
}
