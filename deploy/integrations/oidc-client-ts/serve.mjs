// Serves the app: any web server does. What it must know of Passport is in /settings.json and in the policy.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'

const { PASSPORT_ISSUER, CLIENT_ID, SITE_URL } = process.env
const passport = new URL(PASSPORT_ISSUER).origin

const html = 'text/html; charset=utf-8'
const script = 'text/javascript; charset=utf-8'
const files = {
  '/': [html, 'app/index.html'],
  '/callback.html': [html, 'app/callback.html'],
  '/app.js': [script, 'app/app.js'],
  '/callback.js': [script, 'app/callback.js'],
  '/settings.js': [script, 'app/settings.js'],
  '/oidc-client-ts.js': [script, 'node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js']
}

createServer(async (req, res) => {
  const path = req.url.split('?')[0]
  // frame-src and frame-ancestors 'self': session monitoring asks in a hidden frame, which comes back to callback.html.
  res.setHeader('Content-Security-Policy', "default-src 'none'; script-src 'self'; img-src data:; base-uri 'none'; " +
    `connect-src 'self' ${passport}; frame-src 'self' ${passport}; frame-ancestors 'self'`)
  res.setHeader('Referrer-Policy', 'no-referrer')
  res.setHeader('Cache-Control', 'no-cache')
  if (path === '/settings.json') {
    res.setHeader('Content-Type', 'application/json')
    res.end(JSON.stringify({ issuer: PASSPORT_ISSUER, clientId: CLIENT_ID }))
  } else if (Object.hasOwn(files, path)) {
    const [type, name] = files[path]
    res.setHeader('Content-Type', type).end(await readFile(new URL(name, import.meta.url)))
  } else {
    res.writeHead(404).end('There is nothing here.')
  }
}).listen(new URL(SITE_URL).port, '127.0.0.1')
