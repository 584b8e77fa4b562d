/* The chat page's entry. */

import { ChatPage } from "./views/chat_page.js";

new ChatPage(JSON.parse(document.getElementById("page").textContent)).start();
