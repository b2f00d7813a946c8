//! What a server is about: registries do not say, so its words have to.

/// Words that say it; the first row that has one decides.
const ROWS: &[(&str, &[&str])] = &[
    (
        "data",
        &[
            "database",
            "postgres",
            "mysql",
            "sqlite",
            "mongodb",
            "redis",
            "clickhouse",
            "snowflake",
            "bigquery",
            "sql",
            "duckdb",
            "vector",
            "analytics",
            "warehouse",
            "dataset",
            "csv",
            "elasticsearch",
            "qdrant",
            "neo4j",
            "kafka",
            "graph",
        ],
    ),
    (
        "documents",
        &["pdf", "word", "excel", "powerpoint", "markdown", "document", "documents", "spreadsheet", "docx"],
    ),
    (
        "development",
        &[
            "git",
            "github",
            "gitlab",
            "code",
            "docker",
            "kubernetes",
            "k8s",
            "terraform",
            "ci",
            "debug",
            "developer",
            "api",
            "sdk",
            "deploy",
            "cloud",
            "aws",
            "azure",
            "gcp",
            "cloudflare",
            "lint",
            "test",
            "testing",
            "repository",
            "pipeline",
            "compiler",
            "server",
            "shell",
            "ansible",
            "devops",
            "openapi",
            "graphql",
            "grpc",
            "npm",
            "packages",
            "sentry",
            "grafana",
            "logs",
        ],
    ),
    (
        "web",
        &[
            "browser",
            "web",
            "search",
            "scrape",
            "scraping",
            "crawl",
            "crawler",
            "http",
            "fetch",
            "website",
            "playwright",
        ],
    ),
    (
        "ai-tools",
        &[
            "ai",
            "llm",
            "embedding",
            "embeddings",
            "rag",
            "prompt",
            "agent",
            "agents",
            "image",
            "speech",
            "memory",
        ],
    ),
    (
        "communication",
        &[
            "slack", "email", "gmail", "discord", "telegram", "teams", "chat", "sms", "message", "messages",
            "mail",
        ],
    ),
    (
        "business",
        &[
            "crm",
            "salesforce",
            "hubspot",
            "stripe",
            "payment",
            "payments",
            "invoice",
            "finance",
            "stock",
            "trading",
            "crypto",
            "shopify",
            "ads",
        ],
    ),
    (
        "productivity",
        &[
            "notion",
            "calendar",
            "task",
            "tasks",
            "todo",
            "note",
            "notes",
            "jira",
            "linear",
            "trello",
            "drive",
            "file",
            "files",
            "filesystem",
        ],
    ),
    ("entertainment", &["music", "spotify", "game", "games", "video", "youtube", "movie", "anime", "sports"]),
    (
        "utilities",
        &["time", "weather", "calculator", "convert", "map", "maps", "location", "translate", "timezone"],
    ),
];
/// Of what nothing says it.
const OTHER: &str = "other";

/// The category: what its publisher said, when that is one; otherwise what stands in the name and the title, and then what is in the
/// description.
pub(super) fn of(said: Option<&str>, name: &str, title: &str, description: &str) -> &'static str {
    if let Some((category, _)) = said.and_then(|said| ROWS.iter().find(|(category, _)| *category == said)) {
        return category;
    }
    let words = |text: &str| -> Vec<String> {
        let split = text.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
        // Every name says these.
        split.filter(|word| !matches!(word.as_str(), "" | "mcp" | "server")).collect()
    };
    for text in [format!("{name} {title}"), description.to_owned()] {
        let words = words(&text);
        let found = ROWS.iter().find(|(_, row)| words.iter().any(|word| row.contains(&word.as_str())));
        if let Some((category, _)) = found {
            return category;
        }
    }
    OTHER
}
