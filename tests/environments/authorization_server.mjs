// An authorization server for tests: oidc-provider, where anybody is `alice` and consents at once.
// Arguments: its port, the scope that it gives, and the seconds that a token lives.
import { Provider } from 'oidc-provider';
import { generateKeyPairSync } from 'node:crypto';

const [port, scope, seconds] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' };

const provider = new Provider(issuer, {
  jwks: { keys: [jwk] },
  cookies: { keys: ['not a secret'] },
  scopes: ['openid', 'offline_access', scope],
  pkce: { required: () => true },
  clientDefaults: { token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'RS256' },
  ttl: { AccessToken: Number(seconds), Grant: 3600, Session: 3600, Interaction: 600 },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({ scope, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: Number(seconds) }),
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  if (prompt.name === 'login') return provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: 'alice' } });
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) grant.addResourceScope(resource, scopes.join(' '));
  return provider.interactionFinished(ctx.req, ctx.res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
});

provider.on('server_error', (ctx, error) => console.error(error));
provider.on('authorization.error', (ctx, error) => console.error(error));
provider.on('grant.error', (ctx, error) => console.error(error));
provider.on('registration_create.error', (ctx, error) => console.error(error));
provider.listen(Number(port), '127.0.0.1');
