/* global oidc, document */
import { settings } from './settings.js'

// monitorSession notices when the person signs out elsewhere. The app and Passport must be of one site for it
// (app.example.com and id.example.com), for browsers hide cookies from the frames of other sites.
const passport = new oidc.UserManager({ ...settings, monitorSession: true })
const at = id => document.getElementById(id)
let refreshed = 0

function show (user) {
  at('email').textContent = user?.profile.email
  at('sub').textContent = user?.profile.sub
  at('signed-in').hidden = !user
  at('signed-out').hidden = !!user
}

function on (id, act) {
  at(id).addEventListener('click', async () => {
    at('notice').textContent = ''
    try {
      await act()
    } catch (err) {
      at('notice').textContent = err.message
    }
  })
}

on('sign-in', () => passport.signinRedirect())
on('sign-in-popup', () => passport.signinPopup())
on('refresh', async () => {
  await passport.signinSilent() // the library does so by itself before the access token expires
  at('refreshed').textContent = ++refreshed
})
on('sign-out', () => passport.signoutRedirect())

passport.events.addUserLoaded(show)
passport.events.addUserSignedOut(async () => {
  await passport.removeUser()
  show(null)
  at('notice').textContent = 'You signed out at Passport.'
})
const user = await passport.getUser()
show(user?.expired ? null : user)
