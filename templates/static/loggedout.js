/* Goes on to the site when every frame has loaded, or when that takes too long. Where there is none to go to, it looks how far
   the sites have been told: in place, for a page that is loaded anew moves under the reader (WCAG 2.2.1). */
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
    setTimeout(look, 2000);
  });
  function look() {
    var link = document.getElementById('look-again'), report = document.getElementById('report');
    if (!link) {
      return;
    }
    fetch(link.href).then(function (answer) {
      return answer.ok ? answer.text() : '';
    }).then(function (text) {
      var now = new DOMParser().parseFromString(text, 'text/html').getElementById('report');
      if (now) {
        report.replaceChildren.apply(report, Array.from(now.childNodes));
        setTimeout(look, 2000);
      }
    }, function () {});
  }
})();
