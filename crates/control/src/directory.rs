//! What the gateway asks for every call, answered from memory: whose token, and where does the instance run.
//!
//! The picture is made anew from the tables after every change in this process, and every few seconds for changes made
//! by others. It is never edited in place, so it cannot drift.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use api::rules::Subject;
use arc_swap::ArcSwap;
use domain::ids::{AccountId, EnvironmentId, GrantId, InstanceId, TokenId, UserId};
use domain::names::{AccountName, EnvironmentName};
use domain::rules::Clause;
use domain::scopes::Scopes;
use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::time::Timestamp;
use gateway::{Audience, AuthError, Buckets, Calls, Limits, NotServed, Principal, Target};
use http::HeaderValue;
use store::accounts::MemberRow;
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;
use store::rules::RuleRow;
use store::tokens::TokenHolder;
use store::{Store, StoreError};

mod agents;
mod served;

use crate::app::foreign;
use crate::app::oauth::expected::Expected;
use crate::app::problem::Chain;
use crate::auth::access::{self, AccessTokens};
use crate::auth::browser::Visitor;
use crate::auth::cache::Cache;
use crate::auth::issuers::{self, Issuers};
use crate::auth::token;
use crate::auth::{Caller, Holder, capped};
use crate::config::{Config, LocalWay};
use crate::reach::{Host, ReachError, reach};
use crate::secrets::MasterKey;
use served::why_not_served;

/// A token's last use is noted at most this often, in microseconds.
const TOUCH_EVERY: i64 = 60_000_000;

/// The directory. One per process.
#[derive(Debug)]
pub(crate) struct LiveDirectory {
    store: Store,
    keys: Arc<MasterKey>,
    local: LocalWay,
    tokens: Cache,
    /// Agents by the hash of the name that members of their toolbelts know them by. Not among the tokens: their names open nothing.
    agents: Cache,
    access: AccessTokens,
    expected: Expected,
    issuers: Issuers,
    token_buckets: Buckets<TokenId>,
    account_buckets: Buckets<AccountId>,
    instance_buckets: Buckets<InstanceId>,
    picture: ArcSwap<Picture>,
    /// Toolbelts that are served, by account and name.
    toolbelts: ArcSwap<Served>,
    /// Two refreshes at once could end in the wrong order.
    refreshing: tokio::sync::Mutex<()>,
}

/// Toolbelts that are served, by account and name.
pub(crate) type Served = HashMap<String, HashMap<String, Arc<Target>>>;

/// An account, and the name of somebody who calls in it.
type Named = (AccountId, Box<str>);

/// Everything that is looked up by name or id without asking the database.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    targets: HashMap<String, HashMap<String, Result<Arc<Target>, NotServed>>>,
    accounts: HashMap<AccountId, AccountName>,
    members: HashMap<(AccountId, UserId), MemberRow>,
    revoked: HashSet<GrantId>,
    rules: HashMap<AccountId, Vec<RuleRow>>,
    environments: HashMap<EnvironmentId, KnownEnvironment>,
    leaving: HashMap<InstanceId, Vec<EnvironmentName>>,
    counts: Vec<(&'static str, i64)>,
    /// Callers of toolbelts that have called since this was made, in whose name members are called.
    named: Mutex<HashMap<Named, Arc<Principal>>>,
}

/// What is shown of an environment beside its instances.
#[derive(Debug, Clone)]
pub(crate) struct KnownEnvironment {
    /// Its name.
    pub(crate) name: EnvironmentName,
    /// Its state.
    pub(crate) status: EnvironmentStatus,
    /// When its DTMA last reported.
    pub(crate) last_heartbeat_at: Option<Timestamp>,
}

impl Picture {
    /// The name of an account.
    pub(crate) fn account(&self, id: AccountId) -> Option<&AccountName> {
        self.accounts.get(&id)
    }

    /// What a user is in an account.
    pub(crate) fn member(&self, account: AccountId, user: UserId) -> Option<&MemberRow> {
        self.members.get(&(account, user))
    }

    /// What the account's rules say to whoever is all of this, beside what they say to everyone.
    fn clauses(&self, account: AccountId, who: &[Subject]) -> Vec<&Clause> {
        let of_account = self.rules.get(&account).into_iter().flatten();
        of_account
            .filter(|rule| rule.subject == Subject::Everyone || who.contains(&rule.subject))
            .map(|rule| &rule.clause)
            .collect()
    }

    /// The accounts that a user is a member of, by name.
    pub(crate) fn accounts_of(&self, user: UserId) -> Vec<(AccountId, AccountName)> {
        let of_user = self.members.keys().filter(|(_, of)| *of == user);
        let mut found: Vec<_> =
            of_user.filter_map(|(id, _)| Some((*id, self.accounts.get(id)?.clone()))).collect();
        found.sort_by(|a, b| a.1.cmp(&b.1));
        found
    }

    /// The names of an account's instances that speak MCP, sorted.
    pub(crate) fn servers_of(&self, account: &AccountName) -> Vec<String> {
        let of_account = self.targets.get(account.as_str()).into_iter().flatten();
        let mut names: Vec<String> = of_account
            .filter(|(_, target)| !matches!(target, Err(NotServed::Tool | NotServed::Unknown)))
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    }

    /// An environment.
    pub(crate) fn environment(&self, id: EnvironmentId) -> Option<&KnownEnvironment> {
        self.environments.get(&id)
    }

    /// Environments that an instance has left and whose hosts have not confirmed it, in the order in which it left them.
    pub(crate) fn leaving(&self, id: InstanceId) -> Vec<EnvironmentName> {
        self.leaving.get(&id).cloned().unwrap_or_default()
    }

    /// How many instances are in each state.
    pub(crate) fn counts(&self) -> &[(&'static str, i64)] {
        &self.counts
    }
}

impl LiveDirectory {
    /// An empty directory; call [`LiveDirectory::refresh`] before serving.
    pub(crate) fn new(store: Store, keys: Arc<MasterKey>, config: &Config) -> Self {
        let (local, rates) = (config.local_way, config.rates);
        Self {
            access: AccessTokens::new(config.public.url()),
            expected: Expected::default(),
            issuers: Issuers::new(config.issuers.clone()),
            store,
            keys,
            local,
            tokens: Cache::default(),
            agents: Cache::default(),
            token_buckets: Buckets::new(rates.token),
            account_buckets: Buckets::new(rates.account),
            instance_buckets: Buckets::new(rates.instance),
            picture: ArcSwap::default(),
            toolbelts: ArcSwap::default(),
            refreshing: tokio::sync::Mutex::new(()),
        }
    }

    /// The picture of now.
    pub(crate) fn picture(&self) -> Arc<Picture> {
        self.picture.load_full()
    }

    /// Makes the picture anew from the tables.
    ///
    /// # Errors
    /// What the store says; the old picture stays.
    pub(crate) async fn refresh(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.refreshing.lock().await;
        let accounts = store::accounts::list_accounts(&self.store).await?;
        let environments = store::environments::list_all(&self.store).await?;
        let instances = store::instances::list_all(&self.store).await?;
        let departures = store::departures::list_all(&self.store).await?;
        let members = store::accounts::list_all_members(&self.store).await?;
        // Access tokens of what was revoked earlier are over.
        let since = Timestamp(now().0.saturating_sub(2 * access::LIFE * 1_000_000));
        let revoked = store::oauth::grants::list_revoked(&self.store, since).await?;
        let rules = store::rules::list_all(&self.store).await?;
        let keys = store::oauth::keys::list(&self.store).await?;
        if let Err(error) = self.access.take(&keys, &self.keys, now()) {
            tracing::error!(error = %Chain(&error), "keys for access tokens cannot be used");
        }

        let mut picture = Picture { revoked: revoked.into_iter().collect(), ..Picture::default() };
        picture.members.extend(members.into_iter().map(|row| ((row.account, row.user), row)));
        for rule in rules {
            picture.rules.entry(rule.account).or_default().push(rule);
        }
        let mut hosts: HashMap<EnvironmentId, (EnvironmentRow, Result<Host, ReachError>)> = HashMap::new();
        for account in accounts {
            picture.accounts.insert(account.id, account.name);
        }
        for row in environments {
            let known = KnownEnvironment {
                name: row.name.clone(),
                status: row.status,
                last_heartbeat_at: row.last_heartbeat_at,
            };
            picture.environments.insert(row.id, known);
            hosts.insert(row.id, (row.clone(), reach(&row, &self.keys, self.local)));
        }
        let mut counts: HashMap<&'static str, i64> = HashMap::new();
        for row in &instances {
            *counts.entry(row.status.word()).or_default() += 1;
            let Some(account) = picture.accounts.get(&row.account) else { continue };
            let Some((environment, host)) = hosts.get(&row.environment) else { continue };
            let target = self.target(row, environment, host);
            let of_account = picture.targets.entry(account.as_str().to_owned()).or_default();
            of_account.insert(row.name.as_str().to_owned(), target);
        }
        for (id, departures) in departures {
            let known = |from| picture.environments.get(from).map(|environment| environment.name.clone());
            let names = departures.iter().filter_map(|departure| known(&departure.environment)).collect();
            picture.leaving.insert(id, names);
        }
        picture.counts = counts.into_iter().collect();
        self.picture.store(Arc::new(picture));
        Ok(())
    }

    fn target(
        &self,
        row: &InstanceRow,
        environment: &EnvironmentRow,
        host: &Result<Host, ReachError>,
    ) -> Result<Arc<Target>, NotServed> {
        why_not_served(row)?;
        let host = host.as_ref().map_err(|error| NotServed::Unreachable {
            message: format!("of its environment `{}`, {error}", environment.name),
        })?;
        // A shim on this machine is reached without its DTMA, and serves while that is down.
        if host.sockets.is_none() && environment.status != EnvironmentStatus::Active {
            return Err(NotServed::Unreachable {
                message: format!(
                    "its environment `{}` does not report ({})",
                    environment.name, environment.status
                ),
            });
        }
        let unusable = |error: &dyn std::fmt::Display| NotServed::Unreachable {
            message: format!("its address cannot be used: {error}"),
        };
        let mcp = host.mcp(row.id).map_err(|error| unusable(&error))?;
        let mut key = HeaderValue::try_from(self.keys.instance_key(row.id).expose())
            .map_err(|error| unusable(&error))?;
        key.set_sensitive(true);
        Ok(Arc::new(Target {
            instance: row.id,
            name: row.name.clone(),
            address: mcp.address,
            uri: mcp.uri,
            bearer: mcp.bearer,
            key,
            limit: self.instance_buckets.of(row.id),
            is_changing: row.status == InstanceStatus::Starting,
        }))
    }

    /// Forgets what is known of tokens: after one was revoked.
    pub(crate) fn forget_tokens(&self) {
        self.tokens.clear();
        self.agents.clear();
    }

    /// Who shows this token, from memory.
    fn known_caller(&self, bearer: &str) -> Option<Result<Holder, AuthError>> {
        self.tokens.get(&token::hash(bearer), now())
    }

    /// Who shows this token to the JSON API. One for an MCP server opens that alone, and an agent's opens MCP addresses.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) async fn api_caller(&self, bearer: &str) -> Result<Arc<Caller>, AuthError> {
        let Holder::Person(caller) = self.caller(bearer).await? else { return Err(AuthError::Agent) };
        match caller.principal.audience {
            Audience::Account | Audience::Api => Ok(caller),
            Audience::Instance { .. } => Err(AuthError::Audience),
        }
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// Why it is refused.
    async fn caller(&self, bearer: &str) -> Result<Holder, AuthError> {
        if let Some(known) = self.known_caller(bearer) {
            return known;
        }
        let era = self.tokens.era();
        if !bearer.starts_with(token::PREFIX) {
            let issuer = issuers::issuer_of(bearer).ok_or(AuthError::Wrong)?;
            let caller = if issuer == self.access.issuer() {
                self.access_caller(bearer)?
            } else {
                let known = self.issuers.get(&issuer).ok_or(AuthError::Wrong)?;
                self.foreign_caller(known, bearer).await?
            };
            let caller = Holder::Person(Arc::new(caller));
            self.tokens.put(era, token::hash(bearer), caller.clone());
            return Ok(caller);
        }
        // What an API token's random part begins with, once in 2^36, may be the same: then it is none of these.
        if bearer.starts_with(token::AGENT_PREFIX)
            && let Some(agent) = self.agent_caller(bearer).await?
        {
            let agent = Holder::Agent(Arc::new(agent));
            self.tokens.put(era, token::hash(bearer), agent.clone());
            return Ok(agent);
        }
        let holder =
            store::tokens::by_hash(&self.store, &token::hash_text(bearer)).await.map_err(|error| {
                tracing::warn!(error = %Chain(&error), "a token could not be checked");
                AuthError::Unavailable
            })?;
        let holder = holder.ok_or(AuthError::Wrong)?;
        let at = now();
        if holder.token.revoked_at.is_some() {
            return Err(AuthError::Revoked);
        }
        if holder.token.expires_at.is_some_and(|end| end <= at) {
            return Err(AuthError::Expired);
        }
        if holder.token.last_used_at.is_none_or(|last| TOUCH_EVERY < at.micros_since(last)) {
            self.note_use(&holder, at).await;
        }
        let limits = Limits {
            token: self.token_buckets.of(holder.token.id),
            account: self.account_buckets.of(holder.token.account),
        };
        let who =
            [Subject::Role(holder.role), Subject::User(holder.token.user), Subject::Token(holder.token.id)];
        let picture = self.picture.load();
        let clauses = picture.clauses(holder.token.account, &who);
        let caller = caller_of(holder, &clauses, limits).ok_or(AuthError::Unavailable)?;
        let caller = Holder::Person(Arc::new(caller));
        self.tokens.put(era, token::hash(bearer), caller.clone());
        Ok(caller)
    }

    /// The keys and the issuer of access tokens.
    pub(crate) fn access(&self) -> &AccessTokens {
        &self.access
    }

    /// Clients that were given a token and have not called yet.
    pub(crate) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The issuers whose tokens are taken.
    pub(crate) fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Who shows this access token: from memory, but for its signature.
    fn access_caller(&self, bearer: &str) -> Result<Caller, AuthError> {
        let claims = self.access.verify(bearer, now())?;
        let picture = self.picture.load();
        if picture.revoked.contains(&claims.grant) {
            return Err(AuthError::Revoked);
        }
        let member = picture.member(claims.account, claims.sub).ok_or(AuthError::Revoked)?;
        let account = picture.account(claims.account).ok_or(AuthError::Revoked)?.clone();
        let scopes = claims.scope.split(' ').map(str::parse).collect::<Result<Vec<_>, _>>();
        let scopes = scopes.ok().and_then(|all| Scopes::try_from(all).ok()).ok_or(AuthError::Wrong)?;
        let audience = match claims.aud.strip_prefix(self.access.issuer()) {
            Some("") => Audience::Api,
            Some(path) => {
                let (account, instance, _) = gateway::parse_address(path).ok_or(AuthError::Audience)?;
                Audience::Instance { account, instance }
            }
            None => return Err(AuthError::Audience),
        };
        self.expected.came(claims.grant);
        let limits = Limits {
            token: self.token_buckets.of(TokenId(claims.grant.0)),
            account: self.account_buckets.of(claims.account),
        };
        let who = [Subject::Role(member.role), Subject::User(claims.sub), Subject::Client(claims.client_id)];
        let clauses = picture.clauses(claims.account, &who);
        let header =
            HeaderValue::try_from(format!("user:{}", claims.sub)).map_err(|_| AuthError::Unavailable)?;
        Ok(Caller {
            user: claims.sub,
            user_name: member.user_name.clone(),
            account: claims.account,
            account_name: account.clone(),
            role: capped(member.role, Some(&scopes)),
            expires_at: Some(Timestamp(claims.exp.saturating_mul(1_000_000))),
            principal: Arc::new(Principal {
                account,
                account_id: claims.account,
                credential: format!("grant:{}", claims.grant).into(),
                audience,
                header,
                calls: Calls::of(Some(&scopes), &clauses),
                limits,
            }),
            scopes: Some(scopes),
        })
    }

    /// Somebody who is signed in with a browser, as a caller in one of their accounts: from memory. `None` when they are not in it.
    pub(crate) fn session_caller(&self, visitor: &Visitor, account: &str) -> Option<Caller> {
        let picture = self.picture.load();
        let (id, name) =
            picture.accounts_of(visitor.user).into_iter().find(|(_, name)| name.as_str() == account)?;
        let member = picture.member(id, visitor.user)?;
        let limits = Limits {
            token: self.token_buckets.of(TokenId(visitor.session.0)),
            account: self.account_buckets.of(id),
        };
        let clauses = picture.clauses(id, &[Subject::Role(member.role), Subject::User(visitor.user)]);
        Some(Caller {
            user: visitor.user,
            user_name: visitor.user_name.clone(),
            account: id,
            account_name: name.clone(),
            role: member.role,
            scopes: None,
            expires_at: None,
            principal: Arc::new(Principal {
                account: name,
                account_id: id,
                credential: format!("session:{}", visitor.session).into(),
                audience: Audience::Account,
                header: HeaderValue::try_from(format!("user:{}", visitor.user)).ok()?,
                calls: Calls::of(None, &clauses),
                limits,
            }),
        })
    }

    /// The toolbelts that are served from now on.
    pub(crate) fn set_toolbelts(&self, toolbelts: Served) {
        self.toolbelts.store(Arc::new(toolbelts));
    }

    /// Somebody whom the gateway has let in under this name, such as `user:0198…`, as a caller of an account's instances: with the account's
    /// rules for them, without what their token is limited to, which the address that they called has seen to. `None` when they are in the
    /// account no more.
    pub(crate) async fn principal_named(&self, account: AccountId, name: &str) -> Option<Arc<Principal>> {
        if let Some(id) = name.strip_prefix("agent:") {
            let hash = token::hash(name);
            let (known, era) = (self.agents.get(&hash, now()), self.agents.era());
            if let Some(Ok(Holder::Agent(agent))) = known {
                return Some(Arc::clone(&agent.principal)).filter(|agent| agent.account_id == account);
            }
            // Why it cannot be asked for was said where it was tried.
            let agent = Arc::new(self.agent_named(account, id.parse().ok()?).await.ok()??);
            self.agents.put(era, hash, Holder::Agent(Arc::clone(&agent)));
            return Some(Arc::clone(&agent.principal));
        }
        let picture = self.picture.load();
        let key = (account, Box::from(name));
        if let Some(known) = picture.named.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(Arc::clone(known));
        }
        let user: UserId = name.strip_prefix("user:")?.parse().ok()?;
        let member = picture.member(account, user)?;
        let clauses = picture.clauses(account, &[Subject::Role(member.role), Subject::User(user)]);
        let principal = Arc::new(Principal {
            account: picture.account(account)?.clone(),
            account_id: account,
            credential: "toolbelt".into(),
            audience: Audience::Account,
            header: HeaderValue::try_from(name).ok()?,
            calls: Calls::of(None, &clauses),
            limits: Limits::default(),
        });
        picture.named.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&principal));
        Some(principal)
    }

    /// Who shows this token of another issuer's.
    async fn foreign_caller(&self, known: &issuers::Known, bearer: &str) -> Result<Caller, AuthError> {
        let at = now();
        let who = known.verify(bearer, at).await?;
        let found = foreign::find_or_make(&self.store, &known.issuer, &who, at).await;
        let found = found.map_err(|problem| {
            let issuer = &known.issuer.issuer;
            tracing::warn!(issuer, error = %Chain(&problem), "somebody with a good token could not be let in");
            AuthError::Unavailable
        })?;
        let foreign::Known { member, account_name } = found.ok_or(AuthError::Revoked)?;
        let limits = Limits {
            token: self.token_buckets.of(TokenId(member.user.0)),
            account: self.account_buckets.of(member.account),
        };
        let subjects = [Subject::Role(member.role), Subject::User(member.user)];
        let picture = self.picture.load();
        let clauses = picture.clauses(member.account, &subjects);
        let header =
            HeaderValue::try_from(format!("user:{}", member.user)).map_err(|_| AuthError::Unavailable)?;
        Ok(Caller {
            user: member.user,
            user_name: member.user_name,
            account: member.account,
            account_name: account_name.clone(),
            role: member.role,
            scopes: None,
            expires_at: Some(who.expires_at),
            principal: Arc::new(Principal {
                account: account_name,
                account_id: member.account,
                credential: format!("issuer:{}", known.issuer.issuer).into(),
                audience: Audience::Account,
                header,
                calls: Calls::of(None, &clauses),
                limits,
            }),
        })
    }

    /// A database that can be read but not written still lets callers in.
    async fn note_use(&self, holder: &TokenHolder, at: Timestamp) {
        let note = async {
            let mut tx = self.store.begin().await?;
            store::tokens::touch_last_used(&mut tx, holder.token.id, at).await?;
            tx.commit().await
        };
        if let Err(error) = note.await {
            tracing::warn!(error = %Chain(&error), "the use of a token could not be noted");
        }
    }
}

impl gateway::Directory for LiveDirectory {
    fn authenticate_known(&self, bearer: &str) -> Option<Result<Arc<Principal>, AuthError>> {
        Some(self.known_caller(bearer)?.map(|caller| Arc::clone(caller.principal())))
    }

    fn authenticate<'a>(
        &'a self,
        bearer: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Principal>, AuthError>> + Send + 'a>> {
        Box::pin(async move { Ok(Arc::clone(self.caller(bearer).await?.principal())) })
    }

    fn find(&self, account: &str, instance: &str, _: &Principal) -> Result<Arc<Target>, NotServed> {
        let picture = self.picture.load();
        if let Some(target) = picture.targets.get(account).and_then(|of| of.get(instance)) {
            return target.clone();
        }
        let toolbelts = self.toolbelts.load();
        toolbelts.get(account).and_then(|of| of.get(instance)).cloned().ok_or(NotServed::Unknown)
    }
}

fn caller_of(holder: TokenHolder, clauses: &[&Clause], limits: Limits) -> Option<Caller> {
    let header = HeaderValue::try_from(format!("user:{}", holder.token.user)).ok()?;
    let scopes = holder.token.scopes.as_ref();
    Some(Caller {
        user: holder.token.user,
        user_name: holder.user_name,
        account: holder.token.account,
        account_name: holder.account_name.clone(),
        role: capped(holder.role, scopes),
        expires_at: holder.token.expires_at,
        principal: Arc::new(Principal {
            account: holder.account_name,
            account_id: holder.token.account,
            credential: format!("token:{}", holder.token.id).into(),
            audience: Audience::Account,
            header,
            calls: Calls::of(scopes, clauses),
            limits,
        }),
        scopes: holder.token.scopes.clone(),
    })
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}
