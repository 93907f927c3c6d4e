//! What is promised of the masker as a whole: a table of cases, ordinary text, hostile text, and properties.

mod cases;
mod hostile;
mod ordinary;
mod properties;

use std::sync::Arc;

use super::*;

/// A key of 108 bytes.
const K: &str = "sk-ant-api03-Zr7pQ2mX9vLt4Kc8Ny1Bw6Hf3Jd5Gs0Ra7Ue2Io9Pq4Mz8Xk1Cv6Tb3Wn5Yh7Lj2Fg9Ds4Ae8Ri1Uo6Pt3Qw5Kz7A-AA";

/// A key of 39 bytes.
const G: &str = "AIzaSyD4x9Kq2Lm7Pn3Rt8Vw1Zb6Hc5Jf0Ge2Us";

fn secrets<L: AsRef<str>, V: AsRef<[u8]>>(values: &[(L, V)]) -> Secrets {
    let mut secrets = Secrets::default();
    for (label, value) in values {
        secrets.add_key(label.as_ref(), value.as_ref());
    }
    secrets
}

/// A masker of these secrets that knows no shapes.
fn masker<L: AsRef<str>, V: AsRef<[u8]>>(values: &[(L, V)]) -> Arc<Masker> {
    Arc::new(Masker::new(secrets(values), UnknownKeys::Shown))
}

fn masked(masker: &Masker, text: impl AsRef<[u8]>) -> Vec<u8> {
    masker.mask_bytes(text.as_ref()).into_inner()
}

/// The same text in parts.
fn masked_in_parts<'a>(masker: &Arc<Masker>, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut stream = MaskedStream::new(Arc::clone(masker));
    let mut out = Masked::empty();
    for part in parts {
        stream.feed(part, &mut out);
    }
    stream.finish(&mut out);
    out.into_inner()
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
