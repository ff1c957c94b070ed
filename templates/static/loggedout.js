/* Goes on to the site when every frame has loaded, or when that takes too long. */
(function () {
  var loaded = 0, total = -1, gone = false;
  function go() {
    var link = document.getElementById('logout-continue');
    if (link && !gone) {
      gone = true;
      location.replace(link.href);
    }
  }
  /* load does not bubble; it is caught on its way down, also of frames that are faster than the page. */
  document.addEventListener('load', function (e) {
    if (e.target && e.target.tagName === 'IFRAME' && ++loaded === total) {
      go();
    }
  }, true);
  document.addEventListener('DOMContentLoaded', function () {
    total = document.getElementsByTagName('iframe').length;
    if (loaded >= total) {
      go();
    }
    setTimeout(go, 4000);
  });
})();
