// Put into the Playground's page by the window. The page's own client opens its streams before it has its chats, drops
// what is for a chat that it does not know, and opens the stream anew after every such failure, leaving the old one open.
// So a stream starts once the chats are there, and goes on after the last message that the client was listening to.
'use strict';
(() => {
  const Native = window.WebSocket;
  const load = crypto.randomUUID(); // this page until it is loaded again
  const current = {}; // the latest socket, by stream
  const told = {}; // messages, by stream
  let announceChats;
  const chats = new Promise((resolve) => { announceChats = resolve; });

  const open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    // the first thing that the client does with its chats is to install the bot in the one that is open
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
      address.searchParams.set('after', String(told[stream] || 0));
      super(address, protocols);
      current[stream] = this;
      this.addEventListener('message', () => {
        if (current[stream] === this) told[stream] = (told[stream] || 0) + 1;
      });
      this.addEventListener('open', async () => {
        await chats;
        if (this.readyState === Native.OPEN) this.send('ready');
      });
    }
  };
})();
