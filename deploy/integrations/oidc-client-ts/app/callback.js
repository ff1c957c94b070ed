/* global oidc, document, location */
// Where Passport's answers come: in this window, in a pop-up, or in a hidden frame.
import { settings } from './settings.js'

// A frame must not refresh beside the page that holds it: a refresh token is good for one use.
const passport = new oidc.UserManager({ ...settings, automaticSilentRenew: false })
try {
  const user = await passport.signinCallback()
  if (user) location.replace('/') // else the page that opened this one has been told, and closes it
} catch (err) {
  document.getElementById('notice').textContent = err.message
}
