//! The one shape of URL that is accepted.

use rustls_pki_types::ServerName;

use super::FetchError;

/// `https://HOST[:PORT][/]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpsUrl {
    host: String,
    port: u16,
}

impl HttpsUrl {
    pub(super) fn parse(text: &str) -> Result<Self, FetchError> {
        split(text).ok_or_else(|| FetchError::Url(text.to_owned()))
    }

    /// Host and port, as sockets take them.
    pub(super) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The name for SNI.
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, FetchError> {
        ServerName::try_from(self.host.clone())
            .map_err(|error| FetchError::Name(self.host.clone(), error))
    }
}

fn split(text: &str) -> Option<HttpsUrl> {
    let authority = text.strip_prefix("https://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains(['/', '?', '#', '@', ' ']) {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map_or(Some(443), |port| port.parse().ok())?;
    (!host.is_empty()).then(|| HttpsUrl {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_with_a_host_is_accepted() {
        let address = |text: &str| HttpsUrl::parse(text).map(|url| url.address());
        assert_eq!(address("https://localhost:8443").unwrap(), "localhost:8443");
        assert_eq!(
            address("https://bank.example/").unwrap(),
            "bank.example:443"
        );
        assert_eq!(address("https://[::1]:8443").unwrap(), "[::1]:8443");
        for wrong in [
            "http://localhost",
            "localhost:8443",
            "https://",
            "https://a/b",
            "https://u@h",
            "https://h:x",
            "https://h?x",
        ] {
            assert!(HttpsUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
