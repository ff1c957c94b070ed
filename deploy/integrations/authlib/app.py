"""A site with "Sign in with Passport" on Authlib and Flask."""

import os
import secrets
from urllib.parse import urlsplit

from authlib.integrations.flask_client import OAuth, OAuthError
from authlib.integrations.requests_client import OAuth2Session
from flask import Flask, redirect, render_template_string, request, session

ISSUER, SITE_URL = os.environ["PASSPORT_ISSUER"], os.environ["SITE_URL"]
CLIENT_ID, CLIENT_SECRET = os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]

app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)  # a real site keeps it over a restart
# Lax: a form on another site comes without the cookie, and so does nothing here.
app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_SECURE=SITE_URL.startswith("https:"))

passport = OAuth(app).register(
    "passport",
    client_id=CLIENT_ID,
    client_secret=CLIENT_SECRET,
    server_metadata_url=ISSUER + "/.well-known/openid-configuration",  # it says all the rest
    client_kwargs={"scope": "openid profile email offline_access", "code_challenge_method": "S256"},
)

# Who is signed in. A real site keeps this in its database: Flask's cookie can be read by whoever has it, and tokens
# do not belong there.
people = {}

PAGE = """<!doctype html><title>Authlib</title>
{% if person %}<p>Signed in as <b id="email">{{ person.email }}</b> (<span id="sub">{{ person.sub }}</span>),
refreshed <span id="refreshed">{{ person.refreshed }}</span> times.
<form method="post" action="/refresh"><button id="refresh">Refresh</button></form>
<form method="post" action="/logout"><button id="sign-out">Sign out</button></form>
{% else %}<a id="sign-in" href="/login">Sign in with Passport</a>{% endif %}"""


@app.get("/")
def home():
    return render_template_string(PAGE, person=people.get(session.get("id")))


@app.get("/login")
def login():
    return passport.authorize_redirect(SITE_URL + "/callback")


@app.get("/callback")
def callback():
    if request.args.get("iss") != ISSUER:  # RFC 9207: the answer is this server's
        return "This sign-in was not begun here.", 400
    token = passport.authorize_access_token()  # it proves the ID token
    info = passport.userinfo(token=token)
    if info.sub != token["userinfo"].sub:
        return "The sign-in failed.", 502
    session.clear()  # whoever signs in gets a new id
    session["id"] = secrets.token_urlsafe()
    people[session["id"]] = {"token": token, "sub": info.sub, "email": info.email, "refreshed": 0}
    return redirect("/", 303)


@app.post("/refresh")
def refresh():
    """Gets a new access token; passport.get(…, token=…) does so by itself where one is used that has expired."""
    person = people.get(session.get("id"))
    if person:
        with OAuth2Session(CLIENT_ID, CLIENT_SECRET) as client:
            token = client.refresh_token(passport.load_server_metadata()["token_endpoint"], person["token"]["refresh_token"])
        person["token"] |= token  # an answer may leave out what stays as it was
        person["refreshed"] += 1
        claims = passport.parse_id_token(token, nonce=None)
        info = passport.userinfo(token=token)
        if info.sub != person["sub"] or claims and claims.sub != person["sub"]:
            return "The refresh failed.", 502
        person["email"] = info.email
    return redirect("/", 303)


@app.post("/logout")
def logout():
    person = people.pop(session.get("id"), None)
    session.clear()
    hint = person and person["token"]["id_token"]
    # It comes back with a state, for sites that want to know that it was they who asked.
    there = passport.create_logout_url(SITE_URL + "/", id_token_hint=hint)
    return redirect(there["url"], 303)


@app.errorhandler(OAuthError)
def refused(error):
    app.logger.warning(error)
    return f"Passport says: {error.error}", 403, {"Content-Type": "text/plain"}


if __name__ == "__main__":
    at = urlsplit(SITE_URL)
    app.run(at.hostname, at.port)
