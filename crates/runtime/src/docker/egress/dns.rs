//! Messages of DNS: what an instance asks, what it is answered. Pure. Whatever the bytes are, they make at most a refusal.

use std::net::Ipv4Addr;

use domain::egress::{Destination, Egress};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, RecordType};

/// The longest answer over UDP, whatever the asker would take: longer ones are lost in fragments.
pub(super) const MAX_UDP: u16 = 1232;
/// What every asker takes.
const MIN_UDP: u16 = 512;
/// Seconds for which an address that a name gave may be reached, at least and at most. Programs keep addresses longer than
/// they are told.
const TIMES: (u32, u32) = (300, 3600);

/// What is to be done with a message from an instance.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is no question; it is not answered, so that two resolvers cannot keep each other busy.
    Noise,
    /// The answer is known already.
    Answer(Vec<u8>),
    /// A name that this instance may not resolve: its name, and the answer.
    Refused(String, Vec<u8>),
    /// The host's resolvers are to be asked.
    Forward(Box<Question>),
}

/// A question in order.
#[derive(Debug, Clone)]
pub(super) struct Question {
    request: Message,
    query: Query,
    /// The ports at the name's addresses that may be reached; `None` means every port. Empty: nothing is to be opened.
    pub(super) ports: Vec<Option<u16>>,
    /// The longest answer that it takes over UDP.
    max_udp: usize,
}

/// Reads what an instance sent.
pub(super) fn read(bytes: &[u8], egress: &Egress) -> Asked {
    let Ok(request) = Message::from_vec(bytes) else { return Asked::Noise };
    if request.metadata.message_type != MessageType::Query {
        return Asked::Noise;
    }
    if request.metadata.op_code != OpCode::Query {
        return answer(&request, ResponseCode::NotImp);
    }
    let [query] = request.queries.as_slice() else { return answer(&request, ResponseCode::FormErr) };
    let query = query.clone();
    if query.query_class() != DNSClass::IN {
        return answer(&request, ResponseCode::Refused);
    }
    let name = plain(&query);
    let ports: Vec<Option<u16>> = match egress {
        Egress::None => return answer(&request, ResponseCode::Refused),
        Egress::Open => Vec::new(),
        Egress::AllowList { hosts } => {
            let meant = hosts.iter().filter(|host: &&Destination| host.place.has_name(&name));
            let ports: Vec<_> = meant.map(|host| host.port).collect();
            if ports.is_empty() {
                let Asked::Answer(bytes) = answer(&request, ResponseCode::NXDomain) else {
                    return Asked::Noise;
                };
                return Asked::Refused(name, bytes);
            }
            if ports.contains(&None) { vec![None] } else { ports }
        }
    };
    match query.query_type() {
        // The network has no IPv6, and hints are not what is opened: there are none of these.
        RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB | RecordType::ANY => {
            answer(&request, ResponseCode::NoError)
        }
        RecordType::AXFR | RecordType::IXFR => answer(&request, ResponseCode::Refused),
        _ => {
            let wanted = request.edns.as_ref().map_or(MIN_UDP, Edns::max_payload);
            let max_udp = usize::from(wanted.clamp(MIN_UDP, MAX_UDP));
            Asked::Forward(Box::new(Question { request, query, ports, max_udp }))
        }
    }
}

/// A name in small letters, without the dot at its end.
fn plain(query: &Query) -> String {
    let name = query.name().to_lowercase().to_ascii();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

fn begun(request: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(request.metadata.id, request.metadata.op_code);
    message.metadata.recursion_desired = request.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.add_queries(request.queries.iter().take(1).cloned());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP);
        message.set_edns(edns);
    }
    message
}

fn answer(request: &Message, code: ResponseCode) -> Asked {
    begun(request, code).to_vec().map_or(Asked::Noise, Asked::Answer)
}

/// What the host's resolvers said.
#[derive(Debug)]
pub(super) struct Answer {
    message: Message,
}

impl Answer {
    /// Addresses, and the seconds for which they may be reached.
    pub(super) fn addresses(&self) -> (Vec<Ipv4Addr>, u32) {
        let mut addresses = Vec::new();
        let mut seconds = TIMES.1;
        for record in &self.message.answers {
            if let RData::A(address) = &record.data {
                addresses.push(address.0);
                seconds = seconds.min(record.ttl);
            }
        }
        addresses.sort();
        addresses.dedup();
        (addresses, seconds.clamp(TIMES.0, TIMES.1))
    }

    /// Whether it is only the beginning, and the rest is to be had over TCP.
    pub(super) fn is_cut(&self) -> bool {
        self.message.metadata.truncation
    }
}

impl Question {
    /// The question as the host's resolvers are asked it.
    pub(super) fn onward(&self) -> Option<(u16, Vec<u8>)> {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP);
        message.set_edns(edns);
        Some((message.metadata.id, message.to_vec().ok()?))
    }

    /// A resolver's answer to it; `None` for whatever else came.
    pub(super) fn answered(&self, id: u16, bytes: &[u8]) -> Option<Answer> {
        let message = Message::from_vec(bytes).ok()?;
        let is_ours = message.metadata.id == id
            && message.metadata.message_type == MessageType::Response
            && message.queries.first().is_some_and(|query| {
                query.name().to_lowercase() == self.query.name().to_lowercase()
                    && query.query_type() == self.query.query_type()
            });
        is_ours.then_some(Answer { message })
    }

    /// What the instance is told; of an answer only what answers.
    pub(super) fn reply(&self, answer: &Answer, over_tcp: bool) -> Option<Vec<u8>> {
        let mut message = begun(&self.request, answer.message.metadata.response_code);
        for record in &answer.message.answers {
            let mut record = record.clone();
            record.ttl = record.ttl.min(TIMES.1);
            message.add_answer(record);
        }
        let bytes = message.to_vec().ok()?;
        if over_tcp || bytes.len() <= self.max_udp {
            return Some(bytes);
        }
        message.truncate().to_vec().ok()
    }

    /// What the instance is told when nobody answered.
    pub(super) fn failed(&self) -> Option<Vec<u8>> {
        begun(&self.request, ResponseCode::ServFail).to_vec().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use hickory_proto::rr::rdata::{A, CNAME};
    use hickory_proto::rr::{Name, Record};

    use super::*;

    fn list(text: &str) -> Egress {
        text.parse().unwrap()
    }

    fn asking(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_str(name).unwrap(), kind));
        message
    }

    fn read_message(message: &Message, egress: &Egress) -> Asked {
        read(&message.to_vec().unwrap(), egress)
    }

    fn code(bytes: &[u8]) -> ResponseCode {
        Message::from_vec(bytes).unwrap().metadata.response_code
    }

    #[test]
    fn only_listed_names_are_asked_for() {
        let egress = list("allow=a.test,*.b.test:443,*.b.test:80,10.0.0.0/8");
        for (name, ports) in [
            ("a.test.", Some(vec![None])),
            ("A.TeSt.", Some(vec![None])),
            ("x.b.test.", Some(vec![Some(443), Some(80)])),
            ("b.test.", None),
            ("x.a.test.", None),
            (".", None),
            ("1.0.0.10.in-addr.arpa.", None),
        ] {
            match (read_message(&asking(name, RecordType::A), &egress), &ports) {
                (Asked::Forward(question), Some(ports)) => assert_eq!(&question.ports, ports, "{name}"),
                (Asked::Refused(refused, bytes), None) => {
                    assert_eq!(format!("{refused}."), name.to_owned(), "in small letters");
                    assert_eq!(code(&bytes), ResponseCode::NXDomain, "{name}");
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
        assert!(matches!(read_message(&asking("x.", RecordType::A), &Egress::Open), Asked::Forward(_)));
        for kind in [RecordType::AAAA, RecordType::HTTPS, RecordType::ANY] {
            let Asked::Answer(bytes) = read_message(&asking("a.test.", kind), &egress) else {
                panic!("{kind}")
            };
            assert_eq!(code(&bytes), ResponseCode::NoError, "{kind}: there is none");
        }
    }

    #[test]
    fn what_is_no_question_is_refused_or_ignored() {
        let egress = list("allow=a.test");
        let mut response = asking("a.test.", RecordType::A);
        response.metadata.message_type = MessageType::Response;
        assert!(matches!(read_message(&response, &egress), Asked::Noise));
        let mut two = asking("a.test.", RecordType::A);
        two.add_query(Query::query(Name::from_str("a.test.").unwrap(), RecordType::A));
        let Asked::Answer(bytes) = read_message(&two, &egress) else { panic!("two questions") };
        assert_eq!(code(&bytes), ResponseCode::FormErr);
        // Any bytes at all: every prefix of a question, every bit of it turned, and chance.
        let good = asking("a.test.", RecordType::A).to_vec().unwrap();
        for end in 0..good.len() {
            read(&good[..end], &egress);
        }
        let mut chance = 1_u64;
        for round in 0..20_000_usize {
            let mut bytes = good.clone();
            for _ in 0..=round % 4 {
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let [at, bit, ..] = (chance >> 16).to_le_bytes();
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= 1 << (bit % 8);
            }
            read(&bytes, &egress);
        }
    }

    #[test]
    fn answers_give_addresses_and_bounded_times() {
        let Asked::Forward(question) = read_message(&asking("a.test.", RecordType::A), &list("allow=a.test"))
        else {
            panic!("a question");
        };
        let (id, onward) = question.onward().unwrap();
        let mut message = Message::from_vec(&onward).unwrap();
        message.metadata.message_type = MessageType::Response;
        let (name, other) = (Name::from_str("a.test.").unwrap(), Name::from_str("cdn.test.").unwrap());
        message.add_answer(Record::from_rdata(name, 9_999_999, RData::CNAME(CNAME(other.clone()))));
        message.add_answer(Record::from_rdata(other, 1, RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))));
        let bytes = message.to_vec().unwrap();
        assert!(question.answered(id.wrapping_add(1), &bytes).is_none(), "to another question");
        let answer = question.answered(id, &bytes).unwrap();
        assert_eq!(answer.addresses(), (vec![Ipv4Addr::new(192, 0, 2, 1)], 300));
        let reply = Message::from_vec(&question.reply(&answer, false).unwrap()).unwrap();
        assert_eq!(reply.metadata.id, question.request.metadata.id);
        assert_eq!(reply.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [3600, 1]);

        for byte in 0..=255 {
            message.add_answer(Record::from_rdata(
                Name::from_str("a.test.").unwrap(),
                60,
                RData::A(A(Ipv4Addr::new(192, 0, 2, byte))),
            ));
        }
        let answer = question.answered(id, &message.to_vec().unwrap()).unwrap();
        let short = question.reply(&answer, false).unwrap();
        assert!(
            short.len() <= 512 && Message::from_vec(&short).unwrap().metadata.truncation,
            "cut, and said so"
        );
        assert!(512 < question.reply(&answer, true).unwrap().len(), "whole over TCP");
    }
}
