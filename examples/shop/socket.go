package main

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// upgrader refuses a page of another host and port: what a browser says in Origin
// has to be what the proxies in front pass on in Host.
var upgrader websocket.Upgrader

const maxMessage = 1 << 20

// socket is a WebSocket that first says its release and then sends back each
// message. When the process is to end it says so with a Close frame.
func (s *shop) socket(w http.ResponseWriter, r *http.Request) {
	s.sockets.Add(1) // before the server stops counting the request as its own
	defer s.sockets.Done()
	conn, err := upgrader.Upgrade(w, r, http.Header{"X-Release": {s.release}})
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	defer context.AfterFunc(s.stop, func() { goAway(conn) })()
	conn.SetReadLimit(maxMessage)
	err = conn.WriteMessage(websocket.TextMessage, []byte("release "+s.release))
	for err == nil {
		err = echoMessage(conn)
	}
}

func echoMessage(conn *websocket.Conn) error {
	kind, message, err := conn.ReadMessage()
	if err != nil {
		return err
	}
	return conn.WriteMessage(kind, message)
}

// goAway asks the other side to close; without an answer it is cut.
func goAway(conn *websocket.Conn) {
	bye := websocket.FormatCloseMessage(websocket.CloseGoingAway, "this release ends")
	soon := time.Now().Add(2 * time.Second)
	conn.WriteControl(websocket.CloseMessage, bye, soon)
	conn.SetReadDeadline(soon)
}
