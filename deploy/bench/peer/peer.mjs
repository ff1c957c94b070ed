// The peer of the benchmark: node-oidc-provider as its README starts it, with what the scenarios need. It keeps
// everything in memory (its own adapter, 1000 entries) and writes no log.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI } = process.env;
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(ISSUER, {
  clients: [{
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    redirect_uris: [REDIRECT_URI],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types: ['code'],
    id_token_signed_response_alg: 'RS256',
  }],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' }] },
  cookies: { keys: ['a key of the benchmark'] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true }, // takes any name and any password
    introspection: { enabled: true },
  },
  rotateRefreshToken: true, // as ours does
});

provider.on('server_error', (ctx, error) => console.error(error));
const { hostname, port } = new URL(ISSUER);
createServer(provider.callback()).listen(Number(port), hostname, () => console.log('serving'));
