// An identity provider in memory, `oidc-provider`, at a port of its own, which it prints.
//   node oidc.mjs DIRECTORY_OF_THE_PACKAGE REDIRECT_URI
// Whoever signs in is believed. NAME has the verified address NAME@example.com; NAME-unverified has NAME@example.com, which nobody
// has verified. Everybody has allowed everything.
import http from 'node:http';
import { pathToFileURL } from 'node:url';

const [, , parts, redirectUri] = process.argv;
const { Provider } = await import(pathToFileURL(`${parts}/node_modules/oidc-provider/lib/index.js`));
const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'berth',
      client_secret: 'oidc-hidden-secret:%/+',
      redirect_uris: [redirectUri],
      response_types: ['code'],
      grant_types: ['authorization_code'],
    }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
    cookies: { keys: ['only for tests'] },
    pkce: { required: () => true },
    async findAccount(_, id) {
      const name = id.replace('-unverified', '');
      return {
        accountId: id,
        claims: () => ({
          sub: id,
          email: `${name}@example.com`,
          email_verified: name === id,
          preferred_username: name,
        }),
      };
    },
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
  });
  server.on('request', provider.callback());
  process.stdout.write(`${issuer}\n`);
});
process.stdin.on('end', () => process.exit(0)).resume();
