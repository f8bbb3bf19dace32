//! Whether a connection failed for want of trust, which no waiting mends.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// Why one side of a handshake does not trust the other, with what to check. `None` if `error` is about something else, such
/// as a peer that is away.
///
/// Libraries wrap rustls's error in their own, so that the whole chain of causes is looked at.
#[must_use]
pub fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return words(error);
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // An I/O error passes over what it holds when it is asked for its cause.
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

fn words(error: &rustls::Error) -> Option<String> {
    let certificate = match error {
        rustls::Error::InvalidCertificate(certificate) => certificate,
        rustls::Error::AlertReceived(alert) => {
            return Some(format!("the server ended the handshake ({alert:?}); it may want another client certificate"));
        }
        _ => return None,
    };
    let advice = match certificate {
        // A bad signature is an authority of the same name with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its authority is not trusted here; is the CA file the right one?"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "is this machine's clock right?",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is this machine's clock right?",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is it the right address, by a name that the certificate has?"
        }
        _ => "is it the right server?",
    };
    Some(format!("the server's certificate is refused ({certificate}): {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("a library's own words")]
    struct Wrapped(#[source] io::Error);

    fn wrapped(error: rustls::Error) -> Wrapped {
        Wrapped(io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    #[test]
    fn a_refused_certificate_is_found_however_deep_it_is_wrapped() {
        let error = wrapped(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        let words = distrust(&error).unwrap();
        assert!(words.contains("is the CA file the right one?"), "{words}");
    }

    #[test]
    fn a_peer_that_is_away_is_not_distrusted() {
        assert_eq!(distrust(&Wrapped(io::ErrorKind::ConnectionRefused.into())), None);
        assert_eq!(distrust(&wrapped(rustls::Error::General("broken off".into()))), None);
    }

    #[test]
    fn each_reason_has_its_own_advice() {
        for (certificate, advice) in
            [(CertificateError::Expired, "clock"), (CertificateError::NotValidForName, "by a name")]
        {
            let words = distrust(&wrapped(rustls::Error::InvalidCertificate(certificate))).unwrap();
            assert!(words.contains(advice), "{words}");
        }
    }
}
