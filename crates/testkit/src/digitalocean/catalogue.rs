//! What the provider has: a realistic few of its regions, sizes and images.

use serde_json::{Value, json};

/// Slug, name, whether it takes new droplets.
const REGIONS: [(&str, &str, bool); 4] = [
    ("fra1", "Frankfurt 1", true),
    ("nyc1", "New York 1", true),
    ("nyc3", "New York 3", true),
    ("sfo1", "San Francisco 1", false),
];

/// Slug, description, memory in MiB, processors, disk in GiB, transfer in TiB, dollars a month and an hour, regions.
type SizeRow = (&'static str, &'static str, u64, u64, u64, f64, f64, f64, &'static [&'static str]);
const SIZES: [SizeRow; 5] = [
    ("s-1vcpu-512mb-10gb", "Basic", 512, 1, 10, 0.5, 4.0, 0.00595, &["fra1", "nyc1"]),
    ("s-1vcpu-1gb", "Basic", 1024, 1, 25, 1.0, 6.0, 0.00893, &["fra1", "nyc1", "nyc3"]),
    ("s-2vcpu-2gb", "Basic", 2048, 2, 60, 3.0, 18.0, 0.02679, &["fra1", "nyc1", "nyc3"]),
    ("s-4vcpu-8gb", "Basic", 8192, 4, 160, 5.0, 48.0, 0.07143, &["fra1", "nyc3"]),
    ("c-2", "CPU-Optimized", 4096, 2, 25, 4.0, 42.0, 0.0625, &["nyc3"]),
];

/// Number, slug, name, distribution, the smallest disk in GiB.
const IMAGES: [(u64, &str, &str, &str, u64); 4] = [
    (129_212_221, "debian-12-x64", "12 x64", "Debian", 7),
    (190_001_004, "debian-13-x64", "13 x64", "Debian", 7),
    (160_232_536, "ubuntu-24-04-x64", "24.04 (LTS) x64", "Ubuntu", 7),
    (152_715_700, "fedora-41-x64", "41 x64", "Fedora", 7),
];

/// The ids of the private networks, in the order of the regions.
const VPCS: [&str; 4] = [
    "5a4981aa-9653-4bd1-bef5-d6bff52042e4",
    "e0fe0f4d-596a-465e-a902-571ce57b79fa",
    "760e09ef-dc84-11e8-981e-3cfdfeaae000",
    "c9f2a7d1-2d5b-4c3e-8f0a-1b6d7e8f9a0b",
];

const LONG_AGO: &str = "2023-06-12T15:09:32Z";

/// What a size gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    pub(super) memory: u64,
    pub(super) vcpus: u64,
    pub(super) disk: u64,
}

pub(super) fn measures(slug: &str) -> Option<Measures> {
    let row = SIZES.iter().find(|row| row.0 == slug)?;
    Some(Measures { memory: row.2, vcpus: row.3, disk: row.4 })
}

pub(super) fn offers(size: &str, region: &str) -> bool {
    SIZES.iter().any(|row| row.0 == size && row.8.contains(&region))
}

pub(super) fn takes_droplets(region: &str) -> bool {
    REGIONS.iter().any(|row| row.0 == region && row.2)
}

pub(super) fn region(slug: &str) -> Value {
    REGIONS.iter().find(|row| row.0 == slug).map_or(Value::Null, region_row)
}

fn region_row(&(slug, name, available): &(&str, &str, bool)) -> Value {
    let sizes: Vec<&str> =
        SIZES.iter().filter(|row| available && row.8.contains(&slug)).map(|row| row.0).collect();
    let features = ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"];
    json!({"slug": slug, "name": name, "available": available, "features": features, "sizes": sizes})
}

pub(super) fn regions() -> Vec<Value> {
    REGIONS.iter().map(region_row).collect()
}

fn size_row(row: &SizeRow) -> Value {
    let &(slug, description, memory, vcpus, disk, transfer, monthly, hourly, regions) = row;
    json!({
        "slug": slug, "description": description, "memory": memory, "vcpus": vcpus, "disk": disk, "transfer": transfer,
        "price_monthly": monthly, "price_hourly": hourly, "regions": regions, "available": true,
        "disk_info": [{"type": "local", "size": {"amount": disk, "unit": "gib"}}],
    })
}

pub(super) fn sizes() -> Vec<Value> {
    SIZES.iter().map(size_row).collect()
}

pub(super) fn size(slug: &str) -> Value {
    SIZES.iter().find(|row| row.0 == slug).map_or(Value::Null, size_row)
}

/// By slug or number.
pub(super) fn image(slug_or_id: &str) -> Option<Value> {
    images().into_iter().find(|image| {
        image["slug"] == slug_or_id || image["id"].as_u64().is_some_and(|id| id.to_string() == slug_or_id)
    })
}

pub(super) fn images() -> Vec<Value> {
    let regions: Vec<&str> = REGIONS.iter().map(|row| row.0).collect();
    let row = |&(id, slug, name, distribution, disk): &(u64, &str, &str, &str, u64)| {
        json!({
            "id": id, "slug": slug, "name": name, "distribution": distribution, "type": "base", "public": true,
            "regions": regions, "created_at": LONG_AGO, "min_disk_size": disk, "size_gigabytes": 0.65,
            "description": format!("{distribution} {name}"), "tags": [], "status": "available",
        })
    };
    IMAGES.iter().map(row).collect()
}

pub(super) fn vpcs() -> Vec<Value> {
    let row = |(at, (id, region)): (usize, (&&str, &(&str, &str, bool)))| {
        json!({
            "id": id, "urn": format!("do:vpc:{id}"), "name": format!("default-{}", region.0), "description": "",
            "region": region.0, "ip_range": format!("10.{}.0.0/20", 110 + at), "default": true, "created_at": LONG_AGO,
        })
    };
    VPCS.iter().zip(&REGIONS).enumerate().map(row).collect()
}

/// The private network that droplets of a region get into.
pub(super) fn default_vpc(region: &str) -> String {
    let row = REGIONS.iter().position(|row| row.0 == region).unwrap_or_default();
    VPCS[row].to_owned()
}
