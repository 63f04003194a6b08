//! The factor `device`: what is known of the device.

use super::{Known, Measure, Sum, age, settle};
use crate::base::span::Span;
use crate::base::timestamp::Timestamp;
use crate::trust::device::DeviceTrust;
use crate::trust::model::adjustment::Adjustment;
use crate::trust::model::checked::Model;
use crate::trust::model::input::Device;

pub(crate) fn measure(model: &Model, device: &Device, now: Timestamp) -> Measure {
    let config = model.config();
    let of = &config.device;
    let worst = model.unknown_is_worst();
    let registered = device.registered == Some(true);
    let mut sum = Sum::new(model, of.base);
    match device.registered {
        Some(true) => {
            sum.add(Adjustment::Registered);
            match device.facts.trust {
                Some(DeviceTrust::High) => sum.add(Adjustment::TrustHigh),
                Some(DeviceTrust::Medium) => sum.add(Adjustment::TrustMedium),
                Some(DeviceTrust::Low) | None => {}
            }
            add_scan(&mut sum, model, device, now);
        }
        Some(false) => sum.add(Adjustment::NotRegistered),
        None => sum.add_if(worst, Adjustment::RegistrationUnknown),
    }
    match device.facts.jailbroken {
        Some(true) => sum.add(Adjustment::Jailbroken),
        Some(false) => {}
        None => sum.add_if(worst, Adjustment::JailbrokenUnknown),
    }
    sum.add_if(device.facts.current_os == Some(true), Adjustment::CurrentOs);
    sum.add_if(device.facts.managed == Some(true), Adjustment::Managed);
    sum.add_if(
        device.facts.certificate == Some(true),
        Adjustment::Certificate,
    );
    let known = Known {
        any: device.identified || device.registered.is_some() || device.facts.any(),
        evident: &device.evident,
        max_age: config.max_age.device.map(Span::whole_seconds),
        rule: config.on_missing.device,
        floor: model.floors().device,
    };
    let confidence = if registered {
        of.confidence_registered
    } else {
        of.confidence_unregistered
    };
    settle(&known, &sum, confidence, now)
}

fn add_scan(sum: &mut Sum<'_>, model: &Model, device: &Device, now: Timestamp) {
    let of = &model.config().device;
    let skew = model.config().clock_skew.whole_seconds();
    match device.facts.last_scan.and_then(|scan| age(scan, now, skew)) {
        Some(age) if age < of.scan_recent_within.millis() => sum.add(Adjustment::ScanRecent),
        Some(age) if age > of.scan_old_after.millis() => sum.add(Adjustment::ScanOld),
        Some(_) => {}
        None => sum.add_if(model.unknown_is_worst(), Adjustment::ScanUnknown),
    }
}
