package slack

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// Slack drops an acknowledgement that comes in several WebSocket frames. The
// WebSocket library joins them before anybody can tell, so the connection
// under it is watched.

// wholeFrames follows the frame headers in a byte stream from a client.
type wholeFrames struct {
	header     []byte
	skip       uint64 // bytes of mask and payload that are left
	fragmented atomic.Bool
}

// takeFragmented tells whether a message in fragments came since the last call.
func (f *wholeFrames) takeFragmented() bool { return f.fragmented.Swap(false) }

func (f *wholeFrames) feed(data []byte) {
	for len(data) > 0 {
		if f.skip > 0 {
			n := min(f.skip, uint64(len(data)))
			f.skip -= n
			data = data[n:]
			continue
		}
		f.header = append(f.header, data[0])
		data = data[1:]
		f.endHeader()
	}
}

// endHeader looks whether the header is complete (RFC 6455, section 5.2).
func (f *wholeFrames) endHeader() {
	if len(f.header) < 2 {
		return
	}
	length, extra := uint64(f.header[1]&0x7f), 0
	switch length {
	case 126:
		extra = 2
	case 127:
		extra = 8
	}
	if len(f.header) < 2+extra {
		return
	}
	if extra > 0 {
		length = 0
		for _, b := range f.header[2:] {
			length = length<<8 | uint64(b)
		}
	}
	const final, continuation = 0x80, 0x0
	if f.header[0]&final == 0 || f.header[0]&0x0f == continuation {
		f.fragmented.Store(true)
	}
	if masked := f.header[1]&0x80 != 0; masked {
		length += 4
	}
	f.skip, f.header = length, f.header[:0]
}

// A frameHijacker hands out a connection whose reads are watched.
type frameHijacker struct {
	http.ResponseWriter
	frames *wholeFrames
}

// Hijack implements http.Hijacker.
func (h *frameHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	hijacker, ok := h.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("hijack the connection: the server does not allow it")
	}
	c, rw, err := hijacker.Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.frames = &wholeFrames{}
	watched := watchedConn{Conn: c, frames: h.frames}
	rw.Reader = bufio.NewReader(watched)
	return watched, rw, nil
}

type watchedConn struct {
	net.Conn
	frames *wholeFrames
}

func (c watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.frames.feed(p[:n])
	return n, err
}
