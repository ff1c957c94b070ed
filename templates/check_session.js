/* The frame of OpenID Connect Session Management 1.0 §3.3. A site posts "client_id session_state" and hears
   "unchanged", "changed" or "error". Plain old script: it runs in any browser, and its hash stands in the policy. */
(function () {
  function primes(n, root) {
    var found = [];
    for (var i = 2; found.length < n; i++) {
      var prime = true;
      for (var j = 2; j * j <= i; j++) {
        if (i % j === 0) { prime = false; break; }
      }
      if (prime) {
        var r = Math.pow(i, root);
        found.push((r - Math.floor(r)) * 4294967296 | 0);
      }
    }
    return found;
  }
  var K = primes(64, 1 / 3);
  function turn(x, n) { return x >>> n | x << 32 - n; }
  /* SHA-256 (FIPS 180-4) of ASCII text, as base64url. */
  function hash(text) {
    var H = primes(8, 1 / 2), words = [], length = text.length * 8, i, j;
    text += '\x80';
    while (text.length % 64 !== 56) { text += '\0'; }
    for (i = 0; i < text.length; i++) { words[i >> 2] |= text.charCodeAt(i) << (3 - i % 4) * 8; }
    words.push(0, length);
    for (j = 0; j < words.length; j += 16) {
      var w = words.slice(j, j + 16), h = H.slice();
      for (i = 0; i < 64; i++) {
        if (i > 15) {
          var a = w[i - 15], b = w[i - 2];
          w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >>> 3) + w[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ b >>> 10) | 0;
        }
        var e = h[4], c = h[0];
        var one = h[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & h[5] ^ ~e & h[6]) + K[i] + w[i];
        var two = (turn(c, 2) ^ turn(c, 13) ^ turn(c, 22)) + (c & h[1] ^ c & h[2] ^ h[1] & h[2]);
        h = [one + two | 0, c, h[1], h[2], h[3] + one | 0, e, h[5], h[6]];
      }
      for (i = 0; i < 8; i++) { H[i] = H[i] + h[i] | 0; }
    }
    var bytes = '';
    for (i = 0; i < 32; i++) { bytes += String.fromCharCode(H[i >> 2] >>> (3 - i % 4) * 8 & 255); }
    return btoa(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  }
  function judge(data, origin) {
    var space = typeof data === 'string' ? data.lastIndexOf(' ') : -1;
    var state = space > 0 ? data.slice(space + 1) : '', dot = state.lastIndexOf('.');
    if (dot < 1 || dot === state.length - 1 || /[^!-~]/.test(state)) { return 'error'; }
    var browser = /(?:^|;\s*)op_bs=([^;]*)/.exec(document.cookie);
    /* There is one since the first sign-in, also after a sign-out. Without it the browser keeps it from us, in the frame
       of another site: we do not know. To "changed" the site would ask again and again, to "error" it must not. */
    if (!browser) { return 'error'; }
    var now = hash(data.slice(0, space) + ' ' + origin + ' ' + browser[1] + ' ' + state.slice(dot + 1));
    return now === state.slice(0, dot) ? 'unchanged' : 'changed';
  }
  window.addEventListener('message', function (e) {
    if (e.source && e.origin && e.origin !== 'null') {
      e.source.postMessage(judge(e.data, e.origin), e.origin);
    }
  });
})();
