package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
)

// BenchmarkProxySmall measures small answers on kept-alive connections, and a
// plain httputil.ReverseProxy beside it.
func BenchmarkProxySmall(b *testing.B) {
	body := make([]byte, 128)
	backend := app(b, func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
	b.Run("rollbridge", func(b *testing.B) { ask(b, newWorld(b, backend).addr) })
	b.Run("ReverseProxy", func(b *testing.B) {
		peer := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})
		peer.Transport = &http.Transport{MaxIdleConnsPerHost: 512}
		s := httptest.NewServer(peer)
		b.Cleanup(s.Close)
		ask(b, s.Listener.Addr().String())
	})
}

func ask(b *testing.B, addr string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Get("http://" + addr + "/")
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
}
