//! Who sends a request, and by which scheme: the peer of the connection, or whom a trusted proxy names.
//!
//! A proxy is believed only if the operator listed its network. Source of the headers: `X-Forwarded-For` and
//! `X-Forwarded-Proto` as nginx, Apache and HAProxy write them; `Forwarded` (RFC 7239) is not read.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::AppState;

/// The connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    pub(crate) tls: bool,
}

/// Who sends a request. Every handler finds it among the extensions of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// An IPv4 address that came in IPv6 clothes is IPv4 here.
    pub(crate) address: IpAddr,
    /// Between the client and us, or between the client and the trusted proxy.
    pub(crate) https: bool,
}

/// Addresses of proxies that are believed: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// The text names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid network {0:?}: want an address or a network such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct InvalidNetwork(String);

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| single()).map(Self).map_err(|_| InvalidNetwork(text.chars().take(60).collect()))
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Client {
    /// Reads the proxies' headers from the nearest hop to the farthest: the first address that no trusted proxy has is the
    /// client's. What stands before it may be invented.
    pub(crate) fn behind(connection: Connection, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.0.contains(&address));
        let peer = connection.peer.ip().to_canonical();
        if !is_trusted(peer) {
            return Self { address: peer, https: connection.tls };
        }
        let hops = headers.get_all("x-forwarded-for").iter().rev();
        let hops =
            hops.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')).map(|hop| address_in(hop.trim()));
        let mut address = peer;
        for hop in hops {
            // A hop that is no address was not written by a proxy that is worth trust.
            let Some(hop) = hop else { break };
            address = hop;
            if !is_trusted(hop) {
                break;
            }
        }
        let https = headers.get("x-forwarded-proto").map_or(connection.tls, |scheme| scheme == "https");
        Self { address, https }
    }
}

impl Client {
    /// Whom requests are counted for: the address. Who has one IPv6 address has all of its network.
    pub(crate) fn network(&self) -> String {
        match self.address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

/// Some proxies add the port.
fn address_in(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// Puts the [`Client`] into the extensions of each request.
pub(crate) async fn identify(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    // Without a connection, as in a test of the router alone, nobody is trusted.
    let unknown = Connection { peer: SocketAddr::from(([0, 0, 0, 0], 0)), tls: false };
    let connection = request.extensions().get().copied().unwrap_or(unknown);
    let client = Client::behind(connection, request.headers(), &state.options.trusted_proxies);
    request.extensions_mut().insert(client);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &'static str)]) -> Client {
        let connection = Connection { peer: SocketAddr::new(peer.parse().unwrap(), 9), tls: false };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let trusted: Vec<Network> = ["127.0.0.1", "10.0.0.0/8"].map(|network| network.parse().unwrap()).into();
        Client::behind(connection, &map, &trusted)
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let told = client("192.0.2.1", &[("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "https")]);
        assert_eq!(told, Client { address: "192.0.2.1".parse().unwrap(), https: false });
    }

    #[test]
    fn behind_trusted_proxies_the_first_address_that_is_none_of_them_counts() {
        for (headers, address) in [
            (&["203.0.113.9, 198.51.100.7, 10.1.2.3"][..], "198.51.100.7"),
            (&["198.51.100.7", "10.1.2.3"], "198.51.100.7"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["10.1.2.3"], "10.1.2.3"),
            (&["198.51.100.7, nonsense"], "127.0.0.1"),
            (&[], "127.0.0.1"),
        ] {
            let headers: Vec<_> = headers.iter().map(|value| ("x-forwarded-for", *value)).collect();
            assert_eq!(client("::ffff:127.0.0.1", &headers).address, address.parse::<IpAddr>().unwrap(), "{headers:?}");
        }
    }

    #[test]
    fn a_trusted_proxy_says_the_scheme() {
        assert!(client("10.0.0.1", &[("x-forwarded-proto", "https")]).https);
        assert!(!client("10.0.0.1", &[("x-forwarded-proto", "http")]).https);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_sender() {
        for (address, want) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(Client { address: address.parse().unwrap(), https: false }.network(), want);
        }
    }

    #[test]
    fn networks_are_read_and_shown() {
        for text in ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert!("10.0.0.0/33".parse::<Network>().unwrap_err().to_string().contains("10.0.0.0/33"));
    }
}
