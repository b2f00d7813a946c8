//! The packet filter's rules as one text for `nft`. Pure.
//!
//! Everything is decided where packets come in from the instances' bridge, before the engine's own rules translate any
//! address: so what is judged is what the instance asked for. An instance is known by the end of its cable (its veth),
//! which nothing inside can change; a table of the bridge family lets through only what carries the address that was
//! given to that end. What is known of nobody goes nowhere.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use domain::container::Protocol;
use domain::egress::{Egress, Place};

use super::member::{Bridge, Member};

/// Seconds for which a blocked destination is remembered.
pub(super) const REMEMBERED: u32 = 3600;
/// Blocked destinations of one instance.
pub(super) const BLOCKED: usize = 64;
/// Addresses of one instance that names gave.
pub(super) const NAMED: usize = 4096;

/// What the rules are made of.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// The tables' name.
    pub(super) table: &'a str,
    pub(super) bridge: &'a Bridge,
    pub(super) members: &'a [Member],
    /// Ports of the DTMA and the control plane on any address of this host.
    pub(super) own_ports: &'a [u16],
    /// Where else the control plane is.
    pub(super) control: &'a [(Ipv4Addr, u16)],
}

/// What a table has now that belongs to single instances.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) chains: Vec<String>,
    pub(super) sets: Vec<String>,
}

/// An instance's own sets and chains.
pub(super) struct Names {
    /// What it may reach.
    pub(super) out: String,
    /// What is done with the rest.
    pub(super) refuse: String,
    /// Addresses that names gave, with every port.
    pub(super) named: String,
    /// Addresses that names gave, with one port.
    pub(super) named_port: String,
    /// What it wanted, with ports.
    pub(super) blocked: String,
    /// What it wanted in other protocols.
    pub(super) blocked_other: String,
}

impl Names {
    /// By the mark of the container: the next one, though it may have the same address, begins with empty sets.
    pub(super) fn of(member: &Member) -> Self {
        let mark = &member.record[..member.record.len().min(16)];
        let name = |kind: &str| format!("{kind}-{mark}");
        Self {
            out: name("out"),
            refuse: name("refuse"),
            named: name("named"),
            named_port: name("named-port"),
            blocked: name("blocked"),
            blocked_other: name("blocked-other"),
        }
    }

    fn chains(&self) -> [&String; 2] {
        [&self.out, &self.refuse]
    }

    fn sets(&self) -> [&String; 4] {
        [&self.named, &self.named_port, &self.blocked, &self.blocked_other]
    }
}

/// Whether a chain or set belongs to an instance.
pub(super) fn is_of_an_instance(name: &str) -> bool {
    ["out-", "refuse-", "named-", "blocked-"].iter().any(|kind| name.starts_with(kind))
}

/// Removes both tables, whether they are there or not.
pub(super) fn removal(table: &str) -> String {
    ["inet", "bridge"]
        .map(|family| format!("add table {family} {table}\ndelete table {family} {table}\n"))
        .concat()
}

/// Makes the tables what they must be, in one transaction. What names gave and what was blocked stays, of the instances
/// that stay.
pub(super) fn script(facts: &Facts<'_>, present: &Present) -> String {
    let mut text = bridge_table(facts);
    text.push_str(&shared_sets(facts));
    let t = facts.table;
    let members: Vec<(&Member, Names)> =
        facts.members.iter().map(|member| (member, Names::of(member))).collect();
    for (member, names) in &members {
        text.push_str(&member_rules(t, member, names));
    }
    let all = |pick: fn(&Names) -> &String| -> Vec<String> {
        members
            .iter()
            .filter_map(|(member, names)| Some(format!("{} : goto {}", member.address?, pick(names))))
            .collect()
    };
    text.push_str(&elements(t, "members", &all(|names| &names.out)));
    text.push_str(&elements(t, "refusals", &all(|names| &names.refuse)));
    text.push_str(&common_rules(facts));
    let chains: Vec<&String> = members.iter().flat_map(|(_, names)| names.chains()).collect();
    let sets: Vec<&String> = members.iter().flat_map(|(_, names)| names.sets()).collect();
    for chain in present.chains.iter().filter(|name| !chains.contains(name)) {
        line(&mut text, format_args!("delete chain inet {t} {chain}"));
    }
    for set in present.sets.iter().filter(|name| !sets.contains(name)) {
        line(&mut text, format_args!("delete set inet {t} {set}"));
    }
    text
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "{words}");
}

fn elements(table: &str, set: &str, elements: &[String]) -> String {
    if elements.is_empty() {
        return String::new();
    }
    format!("add element inet {table} {set} {{ {} }}\n", elements.join(", "))
}

/// Nobody speaks under another's address, and nobody speaks to a neighbour: both without `br_netfilter`, which hosts may
/// not have.
fn bridge_table(facts: &Facts<'_>) -> String {
    let t = facts.table;
    let ends: Vec<(&str, Ipv4Addr)> =
        facts.members.iter().filter_map(|member| Some((member.end.as_deref()?, member.address?))).collect();
    let ends_only: Vec<String> = ends.iter().map(|(end, _)| format!("\"{end}\"")).collect();
    let pairs: Vec<String> = ends.iter().map(|(end, address)| format!("\"{end}\" . {address}")).collect();
    let fill = |set: &str, elements: &[String]| {
        if elements.is_empty() {
            String::new()
        } else {
            format!("add element bridge {t} {set} {{ {} }}\n", elements.join(", "))
        }
    };
    format!(
        "add table bridge {t}\n\
         flush table bridge {t}\n\
         add set bridge {t} ends {{ type ifname; }}\n\
         add set bridge {t} senders {{ type ifname . ipv4_addr; }}\n\
         flush set bridge {t} ends\n\
         flush set bridge {t} senders\n\
         {}{}\
         add chain bridge {t} from {{ type filter hook prerouting priority -350; policy accept; }}\n\
         add rule bridge {t} from iifname != @ends accept\n\
         add rule bridge {t} from ether type ip iifname . ip saddr @senders accept\n\
         add rule bridge {t} from ether type arp iifname . arp saddr ip @senders accept\n\
         add rule bridge {t} from drop\n\
         add chain bridge {t} between {{ type filter hook forward priority -350; policy accept; }}\n\
         add rule bridge {t} between iifname @ends oifname @ends drop\n",
        fill("ends", &ends_only),
        fill("senders", &pairs),
    )
}

fn shared_sets(facts: &Facts<'_>) -> String {
    let t = facts.table;
    let mut text = format!("add table inet {t}\nflush table inet {t}\n");
    for (kind, name, of) in [
        ("map", "members", "ipv4_addr : verdict"),
        ("map", "refusals", "ipv4_addr : verdict"),
        ("set", "own-ports", "inet_service"),
        ("set", "control", "ipv4_addr . inet_service"),
        ("set", "asking", "ipv4_addr"),
        ("set", "published", "inet_proto . inet_service"),
        ("set", "published-at", "ipv4_addr . inet_proto . inet_service"),
    ] {
        line(
            &mut text,
            format_args!("add {kind} inet {t} {name} {{ type {of}; }}\nflush {kind} inet {t} {name}"),
        );
    }
    let mut own: Vec<String> = facts.own_ports.iter().map(u16::to_string).collect();
    own.sort();
    own.dedup();
    text.push_str(&elements(t, "own-ports", &own));
    let control: Vec<String> =
        facts.control.iter().map(|(address, port)| format!("{address} . {port}")).collect();
    text.push_str(&elements(t, "control", &control));
    let asking: Vec<String> =
        facts.members.iter().filter(|m| m.asks).filter_map(|m| Some(m.address?.to_string())).collect();
    text.push_str(&elements(t, "asking", &asking));
    let (mut everywhere, mut somewhere) = (Vec::new(), Vec::new());
    for port in facts.members.iter().flat_map(|member| &member.published) {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        match port.address {
            Some(std::net::IpAddr::V4(address)) if address.is_unspecified() => {
                everywhere.push(format!("{protocol} . {}", port.host));
            }
            // What is published on the loopback is for this host alone.
            Some(std::net::IpAddr::V4(address)) if !address.is_loopback() => {
                somewhere.push(format!("{address} . {protocol} . {}", port.host));
            }
            _ => {}
        }
    }
    text.push_str(&elements(t, "published", &everywhere));
    text.push_str(&elements(t, "published-at", &somewhere));
    text
}

fn member_rules(t: &str, member: &Member, names: &Names) -> String {
    let Names { out, refuse, named, named_port, blocked, blocked_other } = names;
    let mut text = format!(
        "add set inet {t} {named} {{ type ipv4_addr; flags timeout; size {NAMED}; }}\n\
         add set inet {t} {named_port} {{ type ipv4_addr . inet_service; flags timeout; size {NAMED}; }}\n\
         add set inet {t} {blocked} {{ type ipv4_addr . inet_proto . inet_service; flags dynamic,timeout; timeout {REMEMBERED}s; size {BLOCKED}; }}\n\
         add set inet {t} {blocked_other} {{ type ipv4_addr . inet_proto; flags dynamic,timeout; timeout {REMEMBERED}s; size {BLOCKED}; }}\n\
         add chain inet {t} {out}\n\
         add chain inet {t} {refuse}\n\
         add rule inet {t} {refuse} update @{blocked} {{ ip daddr . meta l4proto . th dport }}\n\
         add rule inet {t} {refuse} meta l4proto != {{ tcp, udp }} update @{blocked_other} {{ ip daddr . meta l4proto }}\n\
         add rule inet {t} {refuse} meta l4proto tcp reject with tcp reset\n\
         add rule inet {t} {refuse} reject with icmpx type admin-prohibited\n"
    );
    match &member.egress {
        Egress::None => {}
        Egress::Open => line(&mut text, format_args!("add rule inet {t} {out} accept")),
        Egress::AllowList { hosts } => {
            let listed = hosts.iter().filter_map(|host| match (&host.place, host.port) {
                (Place::Network { address, prefix }, None) => Some(format!("ip daddr {address}/{prefix}")),
                (Place::Network { address, prefix }, Some(port)) => {
                    Some(format!("ip daddr {address}/{prefix} th dport {port}"))
                }
                _ => None,
            });
            let by_name = [format!("ip daddr @{named}"), format!("ip daddr . th dport @{named_port}")];
            for rule in listed.chain(by_name) {
                line(
                    &mut text,
                    format_args!("add rule inet {t} {out} meta l4proto {{ tcp, udp }} {rule} accept"),
                );
            }
        }
    }
    line(&mut text, format_args!("add rule inet {t} {out} goto {refuse}"));
    text
}

fn common_rules(facts: &Facts<'_>) -> String {
    let t = facts.table;
    let Bridge { interface, gateway } = facts.bridge;
    let tcp_or_udp = "meta l4proto { tcp, udp }";
    let mut text = String::new();
    for chain in ["never", "host"] {
        line(&mut text, format_args!("add chain inet {t} {chain}"));
    }
    line(
        &mut text,
        format_args!(
            "add chain inet {t} from {{ type filter hook prerouting priority -150; policy accept; }}"
        ),
    );
    for (chain, rule) in [
        ("never", "ip saddr vmap @refusals".to_owned()),
        ("never", "drop".to_owned()),
        // This host: the resolver, and what its tools publish to others than itself.
        ("host", format!("ip daddr {gateway} ip saddr @asking {tcp_or_udp} th dport 53 accept")),
        ("host", "tcp dport @own-ports goto never".to_owned()),
        ("host", "meta l4proto . th dport @published ip saddr vmap @members".to_owned()),
        ("host", "ip daddr . meta l4proto . th dport @published-at ip saddr vmap @members".to_owned()),
        ("host", "goto never".to_owned()),
        ("from", format!("iifname != \"{interface}\" accept")),
        // The network has no IPv6; the kernel gives a link-local address all the same.
        ("from", "meta nfproto != ipv4 drop".to_owned()),
        ("from", "ct state established,related accept".to_owned()),
        ("from", "ip daddr { 127.0.0.0/8, 169.254.0.0/16 } goto never".to_owned()),
        ("from", "fib daddr type local goto host".to_owned()),
        ("from", "fib daddr type != unicast drop".to_owned()),
        ("from", "ip daddr . tcp dport @control goto never".to_owned()),
        ("from", "ip saddr vmap @members".to_owned()),
        ("from", "drop".to_owned()),
    ] {
        line(&mut text, format_args!("add rule inet {t} {chain} {rule}"));
    }
    text
}
