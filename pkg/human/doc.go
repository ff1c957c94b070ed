// Package human tells people from programs: by a piece of work that a browser does by itself, by six digits in a picture or
// spoken (the way without JavaScript), or by a service of others (Turnstile, hCaptcha, reCAPTCHA).
//
// It owns the challenges, and what a good answer is: to this form, in this browser, in time, and once. It refuses to know when
// a check is wanted, which package account decides, and how one looks, which is the pages' business.
package human
