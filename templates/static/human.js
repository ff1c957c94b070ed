/* Works at the human check of a form, so that the person need not; see pkg/human. Without this script the digits of the
   picture, which stand in the page, are the way. */
(function () {
  'use strict';
  var K = [], INIT = [];

  /* The constants of SHA-256 (FIPS 180-4 §4.2.2, §5.3.3): the fractions of the roots of the first primes. */
  (function () {
    for (var n = 2; K.length < 64; n++) {
      var prime = true;
      for (var d = 2; d * d <= n; d++) {
        if (n % d === 0) { prime = false; break; }
      }
      if (prime) {
        if (INIT.length < 8) { INIT.push(fraction(Math.pow(n, 1 / 2))); }
        K.push(fraction(Math.pow(n, 1 / 3)));
      }
    }
    function fraction(x) { return ((x - Math.floor(x)) * 4294967296) | 0; }
  })();

  var W = new Int32Array(64);

  /* The first 32 bits of SHA-256 of a text of ASCII that fits into one block. */
  function first(text) {
    var i, n = text.length;
    for (i = 0; i < 16; i++) { W[i] = 0; }
    for (i = 0; i < n; i++) { W[i >> 2] |= text.charCodeAt(i) << (24 - (i & 3) * 8); }
    W[n >> 2] |= 0x80 << (24 - (n & 3) * 8);
    W[15] = n * 8;
    for (i = 16; i < 64; i++) {
      var x = W[i - 15], y = W[i - 2];
      W[i] = (W[i - 16] + W[i - 7] +
        ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ (x >>> 3)) +
        ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ (y >>> 10))) | 0;
    }
    var a = INIT[0], b = INIT[1], c = INIT[2], d = INIT[3], e = INIT[4], f = INIT[5], g = INIT[6], h = INIT[7];
    for (i = 0; i < 64; i++) {
      var t = (h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
      var u = (((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t) | 0; d = c; c = b; b = a; a = (t + u) | 0;
    }
    return (a + INIT[0]) | 0;
  }

  /* Tries the numbers from n on, some milliseconds long: the one that makes the hash begin with so many zero bits, or -1. */
  function search(tail, bits, from, most) {
    for (var n = from; n < from + most; n++) {
      if (first(tail + ':' + n) >>> (32 - bits) === 0) { return n; }
    }
    return -1;
  }

  if (typeof document === 'undefined') { /* the tests */
    module.exports = { first: first, search: search };
    return;
  }
  document.documentElement.classList.add('scripted');
  document.addEventListener('DOMContentLoaded', function () {
    var box = document.getElementById('human');
    if (!box) { return; }
    if (box.dataset.v3) { score(box); } else if (box.dataset.bits) { work(box); }
  });

  function work(box) {
    var challenge = document.getElementById('human-challenge').value, found = document.getElementById('human-work');
    var state = document.getElementById('human-state'), digits = document.getElementById('human-answer');
    var form = box.closest('form'), waiting = null, tail = challenge.slice(-32), bits = +box.dataset.bits, n = 0, most = 2000;
    digits.required = false;
    if (digits.getAttribute('aria-invalid')) { read(); }
    document.getElementById('human-other').addEventListener('click', function () {
      read();
      digits.focus();
    });
    function read() {
      box.classList.add('read');
      digits.required = true;
    }
    form.addEventListener('submit', function (e) {
      if (found.value || digits.value) { return; }
      e.preventDefault(); /* it is sent when the work is done */
      waiting = { by: e.submitter };
      say(state.dataset.waiting);
    });
    function say(text) { state.textContent = text; }
    say(state.dataset.working);
    (function some() {
      var began = Date.now(), got = search(tail, bits, n, most);
      if (got >= 0) {
        found.value = got;
        say(state.dataset.done);
        if (waiting) { form.requestSubmit(waiting.by || undefined); }
        return;
      }
      n += most;
      most = Date.now() - began < 15 ? most * 2 : most; /* the page stays alive between two parts */
      setTimeout(some, 0);
    })();
  }

  /* A service that shows nothing is asked when the form is sent. */
  function score(box) {
    var form = box.closest('form'), field = document.getElementById('human-token');
    form.addEventListener('submit', function (e) {
      if (field.value || !window.grecaptcha) { return; }
      e.preventDefault();
      window.grecaptcha.ready(function () {
        window.grecaptcha.execute(box.dataset.v3, { action: box.dataset.action }).then(function (token) {
          field.value = token;
          form.requestSubmit(e.submitter || undefined);
        });
      });
    });
  }
})();
