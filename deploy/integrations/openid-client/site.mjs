// A site with "Sign in with Passport" on openid-client.
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import * as oidc from 'openid-client'

const { PASSPORT_ISSUER, CLIENT_ID, CLIENT_SECRET, SITE_URL } = process.env

// The discovery document says all the rest.
const issuer = new URL(PASSPORT_ISSUER)
const config = await oidc.discovery(issuer, CLIENT_ID, undefined, oidc.ClientSecretBasic(CLIENT_SECRET), {
  execute: [
    oidc.enableNonRepudiationChecks, // the ID token's signature; the library takes TLS for proof enough
    ...(issuer.hostname === 'localhost' ? [oidc.allowInsecureRequests] : []) // plain http, for a trial
  ]
})

// What the site keeps of a browser, by its cookie. A real site keeps it in its database.
const sessions = new Map()
const cookie = req => /(?:^|; )session=([^;]+)/.exec(req.headers.cookie)?.[1]
const sessionOf = req => sessions.get(cookie(req)) ?? {}

// Each sign-in and sign-out gets a new cookie: one that somebody planted is worth nothing.
function begin (req, res, session) {
  sessions.delete(cookie(req))
  const id = randomUUID()
  sessions.set(id, session)
  const secure = SITE_URL.startsWith('https:') ? '; Secure' : ''
  res.setHeader('Set-Cookie', `session=${id}; Path=/; HttpOnly; SameSite=Lax${secure}`)
}

const escape = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)
const see = (res, url) => res.writeHead(303, { Location: url }).end()

function home (req, res) {
  const { sub, email, refreshed } = sessionOf(req)
  res.setHeader('Content-Type', 'text/html; charset=utf-8').end('<!doctype html><title>openid-client</title>' + (sub
    ? `<p>Signed in as <b id="email">${escape(email)}</b> (<span id="sub">${escape(sub)}</span>),
refreshed <span id="refreshed">${refreshed}</span> times.
<form method="post" action="/refresh"><button id="refresh">Refresh</button></form>
<form method="post" action="/logout"><button id="sign-out">Sign out</button></form>`
    : '<a id="sign-in" href="/login">Sign in with Passport</a>'))
}

async function login (req, res) {
  const verifier = oidc.randomPKCECodeVerifier()
  const state = oidc.randomState()
  const nonce = oidc.randomNonce()
  begin(req, res, { verifier, state, nonce })
  see(res, oidc.buildAuthorizationUrl(config, {
    redirect_uri: SITE_URL + '/callback',
    scope: 'openid profile email offline_access',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce
  }).href)
}

async function callback (req, res) {
  const { verifier, state, nonce } = sessionOf(req)
  if (!state) return res.writeHead(400).end('This sign-in was not begun here.')
  // Checks state and iss (RFC 9207) of the answer, then the ID token.
  const tokens = await oidc.authorizationCodeGrant(config, new URL(req.url, SITE_URL), {
    pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true
  })
  const { sub } = tokens.claims()
  const { email } = await oidc.fetchUserInfo(config, tokens.access_token, sub)
  begin(req, res, { sub, email, idToken: tokens.id_token, refreshToken: tokens.refresh_token, refreshed: 0 })
  see(res, '/')
}

async function refresh (req, res) {
  const session = sessionOf(req)
  if (session.sub) {
    const tokens = await oidc.refreshTokenGrant(config, session.refreshToken)
    session.refreshToken = tokens.refresh_token ?? session.refreshToken // each is good for one use
    session.idToken = tokens.id_token ?? session.idToken
    session.email = (await oidc.fetchUserInfo(config, tokens.access_token, session.sub)).email // of nobody else
    session.refreshed++
  }
  see(res, '/')
}

async function logout (req, res) {
  const { idToken, refreshToken } = sessionOf(req)
  begin(req, res, {})
  if (!idToken) return see(res, '/')
  if (refreshToken) await oidc.tokenRevocation(config, refreshToken) // it outlives the sign-out at Passport
  see(res, oidc.buildEndSessionUrl(config, { id_token_hint: idToken, post_logout_redirect_uri: SITE_URL + '/' }).href)
}

const routes = {
  'GET /': home,
  'GET /login': login,
  'GET /callback': callback,
  'POST /refresh': refresh,
  'POST /logout': logout
}

createServer(async (req, res) => {
  try {
    res.setHeader('Content-Type', 'text/plain; charset=utf-8')
    const route = routes[`${req.method} ${req.url.split('?')[0]}`]
    if (!route) return res.writeHead(404).end('There is nothing here.')
    // The pages of other sites must not press our buttons.
    const foreign = req.method === 'POST' && req.headers.origin !== SITE_URL
    if (foreign) return res.writeHead(403).end('This form is not ours.')
    await route(req, res)
  } catch (err) {
    if (err instanceof oidc.AuthorizationResponseError) {
      return res.writeHead(403).end('Passport says: ' + err.error)
    }
    console.error(err)
    res.writeHead(502).end('That failed.')
  }
}).listen(new URL(SITE_URL).port, '127.0.0.1')
