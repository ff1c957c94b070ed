// Runs code + PKCE, refresh and userinfo against a Passport server with openid-client, a relying-party
// library that is not ours. The person is played by plain fetch: cookies, redirects and forms by hand.
// Input: one JSON document on stdin {issuer, clientId, clientSecret, redirectUri, email, password}.
// Output: one JSON document on stdout with what the library accepted; a failure ends with exit 1.
import * as oidc from 'openid-client'

const input = JSON.parse(await new Response(process.stdin).text())
const redirectUri = input.redirectUri

// A person's browser, as small as it goes.
const jar = new Map()
async function visit (url, init = {}) {
  for (let hop = 0; hop < 12; hop++) {
    if (url.startsWith(redirectUri)) return { callback: new URL(url) }
    const headers = { ...init.headers, cookie: [...jar].map(([k, v]) => `${k}=${v}`).join('; ') }
    const res = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of res.headers.getSetCookie()) {
      const [pair] = line.split(';')
      const at = pair.indexOf('=')
      jar.set(pair.slice(0, at), pair.slice(at + 1))
    }
    const location = res.headers.get('location')
    if (!location) return { url, status: res.status, html: await res.text() }
    url = new URL(location, url).href
    init = {}
  }
  throw new Error('too many redirects')
}

function unescape (s) {
  return s.replaceAll('&#43;', '+').replaceAll('&#34;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}

// submit fills in the form that holds the element with this id, and posts it.
async function submit (page, id, fields) {
  const form = page.html.match(/<form[\s\S]*?<\/form>/g)?.find(f => f.includes(`id="${id}"`))
  if (!form) throw new Error(`no form with ${id} on the page with status ${page.status}`)
  const attr = (tag, name) => unescape(tag.match(new RegExp(`\\s${name}="([^"]*)"`))?.[1] ?? '')
  const body = new URLSearchParams()
  for (const tag of form.match(/<input[^>]*>/g) ?? []) {
    const name = attr(tag, 'name')
    if (name && !['submit', 'button', 'checkbox', 'radio'].includes(attr(tag, 'type'))) body.set(name, attr(tag, 'value'))
  }
  const button = form.match(new RegExp(`<(?:button|input)[^>]*id="${id}"[^>]*>`))?.[0] ?? ''
  if (attr(button, 'name')) body.set(attr(button, 'name'), attr(button, 'value'))
  for (const [name, value] of Object.entries(fields)) body.set(name, value)
  const action = new URL(attr(form.match(/<form[^>]*>/)[0], 'action') || page.url, page.url).href
  return visit(action, { method: 'POST', body, headers: { origin: new URL(page.url).origin, 'sec-fetch-site': 'same-origin' } })
}

const config = await oidc.discovery(new URL(input.issuer), input.clientId, input.clientSecret,
  oidc.ClientSecretBasic(input.clientSecret), { execute: [oidc.allowInsecureRequests] })
const verifier = oidc.randomPKCECodeVerifier()
const state = oidc.randomState()
const nonce = oidc.randomNonce()
const start = oidc.buildAuthorizationUrl(config, {
  redirect_uri: redirectUri,
  scope: 'openid profile email offline_access',
  prompt: 'consent',
  code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
  nonce
})

let page = await visit(start.href)
page = await submit(page, 'login-submit', { username: input.email, password: input.password })
if (!page.callback) page = await submit(page, 'consent-allow', {})
if (!page.callback) throw new Error(`did not arrive at the site: status ${page.status}`)

const tokens = await oidc.authorizationCodeGrant(config, page.callback, {
  pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true
})
const claims = tokens.claims()
const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub)
const refreshed = await oidc.refreshTokenGrant(config, tokens.refresh_token)
const again = await oidc.fetchUserInfo(config, refreshed.access_token, claims.sub)
const introspected = await oidc.tokenIntrospection(config, refreshed.access_token)
await oidc.tokenRevocation(config, refreshed.refresh_token)
let revoked = ''
try {
  await oidc.refreshTokenGrant(config, refreshed.refresh_token)
} catch (err) {
  revoked = err.error
}
process.stdout.write(JSON.stringify({
  claims,
  refreshedClaims: refreshed.claims(),
  userinfo,
  again,
  active: introspected.active,
  rotated: tokens.refresh_token !== refreshed.refresh_token,
  revoked,
  // For the test, which searches the server's log and database for them.
  secrets: {
    code: [page.callback.searchParams.get('code')],
    access_token: [tokens.access_token, refreshed.access_token],
    refresh_token: [tokens.refresh_token, refreshed.refresh_token],
    id_token: [tokens.id_token, refreshed.id_token]
  }
}))
