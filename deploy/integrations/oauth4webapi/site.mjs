// A site with "Sign in with Passport" on oauth4webapi.
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import * as oauth from 'oauth4webapi'

const { PASSPORT_ISSUER, CLIENT_ID, CLIENT_SECRET, SITE_URL } = process.env

const redirectUri = SITE_URL + '/callback'
const issuer = new URL(PASSPORT_ISSUER)
const http = { [oauth.allowInsecureRequests]: issuer.hostname === 'localhost' } // plain http, for a trial
const client = { client_id: CLIENT_ID }
const secret = oauth.ClientSecretBasic(CLIENT_SECRET)
// The discovery document says all the rest.
const passport = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http))

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
  res.setHeader('Content-Type', 'text/html; charset=utf-8').end('<!doctype html><title>oauth4webapi</title>' + (sub
    ? `<p>Signed in as <b id="email">${escape(email)}</b> (<span id="sub">${escape(sub)}</span>),
refreshed <span id="refreshed">${refreshed}</span> times.
<form method="post" action="/refresh"><button id="refresh">Refresh</button></form>
<form method="post" action="/logout"><button id="sign-out">Sign out</button></form>`
    : '<a id="sign-in" href="/login">Sign in with Passport</a>'))
}

async function login (req, res) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()
  begin(req, res, { verifier, state, nonce })
  see(res, passport.authorization_endpoint + '?' + new URLSearchParams({
    client_id: CLIENT_ID,
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: 'openid profile email offline_access',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce
  }))
}

async function callback (req, res) {
  const { verifier, state, nonce } = sessionOf(req)
  if (!state) return res.writeHead(400).end('This sign-in was not begun here.')
  const url = new URL(req.url, SITE_URL)
  const params = oauth.validateAuthResponse(passport, client, url, state) // checks iss (RFC 9207) as well
  const answer = await oauth.authorizationCodeGrantRequest(
    passport, client, secret, params, redirectUri, verifier, http
  )
  const tokens = await oauth.processAuthorizationCodeResponse(passport, client, answer, {
    expectedNonce: nonce, requireIdToken: true
  })
  // The ID token's signature: the line before takes TLS for proof enough.
  await oauth.validateApplicationLevelSignature(passport, answer, http)
  const { sub } = oauth.getValidatedIdTokenClaims(tokens)
  const email = await emailOf(sub, tokens)
  begin(req, res, { sub, email, idToken: tokens.id_token, refreshToken: tokens.refresh_token, refreshed: 0 })
  see(res, '/')
}

// emailOf asks the userinfo endpoint, which must answer about this person.
async function emailOf (sub, tokens) {
  const answer = await oauth.userInfoRequest(passport, client, tokens.access_token, http)
  return (await oauth.processUserInfoResponse(passport, client, sub, answer)).email
}

async function refresh (req, res) {
  const session = sessionOf(req)
  if (session.sub) {
    const answer = await oauth.refreshTokenGrantRequest(passport, client, secret, session.refreshToken, http)
    const tokens = await oauth.processRefreshTokenResponse(passport, client, answer)
    session.refreshToken = tokens.refresh_token ?? session.refreshToken // each is good for one use
    session.idToken = tokens.id_token ?? session.idToken
    session.email = await emailOf(session.sub, tokens)
    session.refreshed++
  }
  see(res, '/')
}

async function logout (req, res) {
  const { idToken, refreshToken } = sessionOf(req)
  begin(req, res, {})
  if (!idToken) return see(res, '/')
  if (refreshToken) { // it outlives the sign-out at Passport
    const answer = await oauth.revocationRequest(passport, client, secret, refreshToken, http)
    await oauth.processRevocationResponse(answer)
  }
  see(res, passport.end_session_endpoint + '?' + new URLSearchParams({
    id_token_hint: idToken, post_logout_redirect_uri: SITE_URL + '/'
  }))
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
    if (err instanceof oauth.AuthorizationResponseError) {
      return res.writeHead(403).end('Passport says: ' + err.error)
    }
    console.error(err)
    res.writeHead(502).end('That failed.')
  }
}).listen(new URL(SITE_URL).port, '127.0.0.1')
