/* global oidc, location, fetch */
// What both pages tell the library, whose script is in `oidc`.
const { issuer, clientId } = await (await fetch('/settings.json')).json()

oidc.Log.setLogger(console)
oidc.Log.setLevel(oidc.Log.WARN)

export const settings = {
  authority: issuer,
  client_id: clientId,
  redirect_uri: location.origin + '/callback.html', // of pop-ups and hidden frames too
  post_logout_redirect_uri: location.origin + '/',
  scope: 'openid profile email offline_access', // offline_access: a refresh token, so signinSilent needs no frame
  loadUserInfo: true,
  revokeTokensOnSignout: true // the refresh token outlives the sign-out at Passport
}
