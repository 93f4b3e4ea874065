// playground_window.py adds this script to the Playground's page. The page's client opens its streams before it has
// loaded its chats, drops messages for chats that it does not know, and after each such failure opens a new stream and
// leaves the old one open. So a stream starts after the chats are loaded, and continues after the last message that was
// received. With `?chat=<name>` in its address, a page opens that channel or chat instead of the personal chat.
'use strict';
(() => {
  const Native = window.WebSocket;
  const load = crypto.randomUUID(); // identifies this page until its next reload
  const current = {}; // the latest socket, by stream
  const received = {}; // number of messages, by stream
  let announceChats;
  const chats = new Promise((resolve) => { announceChats = resolve; });

  const open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    // after it has loaded its chats, the client first installs the bot in the open chat
    if (String(url).endsWith('/installation')) announceChats();
    open.call(this, method, url, ...rest);
    this.setRequestHeader('X-Load', load);
  };

  window.WebSocket = class extends Native {
    constructor(url, protocols) {
      const address = new URL(url, location.href);
      const stream = address.pathname;
      address.search = location.search;
      address.searchParams.set('load', load);
      address.searchParams.set('after', String(received[stream] || 0));
      super(address, protocols);
      current[stream] = this;
      this.addEventListener('message', () => {
        if (current[stream] === this) received[stream] = (received[stream] || 0) + 1;
      });
      this.addEventListener('open', async () => {
        await chats;
        if (this.readyState === Native.OPEN) this.send('ready');
      });
    }
  };

  const wanted = new URLSearchParams(location.search).get('chat');
  const opened = () => {
    const named = [...document.querySelectorAll('[role=treeitem]')].find((each) => {
      const name = each.getAttribute('aria-label') || '';
      return name === wanted || name.endsWith(` - ${wanted}`); // a channel's name follows that of its team
    });
    if (named) named.click();
    return Boolean(named);
  };
  chats.then(() => {
    if (!wanted || opened()) return;
    const watching = new MutationObserver(() => { if (opened()) watching.disconnect(); });
    watching.observe(document, { childList: true, subtree: true });
  });
})();
