package slack

import (
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// maxFile bounds an upload to this stand-in, in bytes. Slack allows 1 GB.
const maxFile = 32 << 20

type file struct {
	id, name, title, alt, mimetype string
	length                         int // as announced
	data                           []byte
	uploaded, done                 bool
	ready                          time.Time // when an image block may show it
	shares                         map[string][]string
}

func (s *Server) fileURL(f *file) string { return s.base + "/files/" + f.id + "/" + f.name }

// fileOK tells whether an image block may show a slack_file: it must exist
// and be processed.
func (s *Server) fileOK(ref map[string]any) bool {
	for _, f := range s.files {
		if ref["id"] == f.id || ref["url"] == s.fileURL(f) {
			return f.done && !time.Now().Before(f.ready)
		}
	}
	return false
}

func (s *Server) filesGetUploadURL(q request) (reply, error) {
	if err := s.need("files:write"); err != nil {
		return nil, err
	}
	f := &file{name: path.Base(q.str("filename")), length: q.int("length", 0), alt: q.str("alt_txt"), shares: map[string][]string{}}
	if q.str("filename") == "" || f.length <= 0 {
		return nil, apiError{Code: "invalid_arguments", Messages: []string{"missing required field: filename or length"}}
	}
	if f.length > maxFile {
		return nil, apiError{Code: "file_upload_size_restricted"}
	}
	f.id = s.id("F0")
	s.files[f.id] = f
	return reply{"upload_url": s.base + "/upload/" + f.id, "file_id": f.id}, nil
}

// serveUpload takes the bytes of a file, as a form's field or as the body. It
// takes the lock itself.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	if fault := s.takeFault("upload"); fault != nil {
		fault.serve(w, r, s.quit)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFile+1<<20)
	body := io.Reader(r.Body)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		part, _, err := r.FormFile("file")
		if err != nil {
			http.Error(w, "no file in the form", http.StatusBadRequest)
			return
		}
		defer part.Close()
		body = part
	}
	data, err := io.ReadAll(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[r.PathValue("id")]
	if err != nil || f == nil || f.uploaded || len(data) != f.length {
		http.Error(w, "upload refused: unknown or used URL, or not the announced length", http.StatusBadRequest)
		return
	}
	f.data, f.uploaded = data, true
	_, _ = io.WriteString(w, "OK - "+r.PathValue("id"))
}

func (s *Server) filesComplete(q request) (reply, error) {
	if err := s.need("files:write"); err != nil {
		return nil, err
	}
	var refs []struct{ ID, Title string }
	if err := json.Unmarshal(q.raw("files"), &refs); err != nil || len(refs) == 0 {
		return nil, apiError{Code: "invalid_arguments", Messages: []string{"missing required field: files"}}
	}
	var ids []string
	for _, ref := range refs {
		f := s.files[ref.ID]
		if f == nil || !f.uploaded {
			return nil, apiError{Code: "file_not_found"}
		}
		ids = append(ids, ref.ID)
		f.title = or(ref.Title, f.name)
	}
	if err := s.shareFiles(q, ids); err != nil {
		return nil, err
	}
	out := []any{}
	for _, id := range ids {
		s.process(s.files[id])
		out = append(out, map[string]any{"id": id, "title": s.files[id].title})
	}
	return reply{"files": out}, nil
}

// process is Slack's look at a finished upload: it finds the type.
func (s *Server) process(f *file) {
	f.done = true
	f.ready = time.Now().Add(s.opts.FileDelay)
	f.mimetype = mime.TypeByExtension(path.Ext(f.name))
	if f.mimetype == "" {
		f.mimetype = http.DetectContentType(f.data)
	}
	f.mimetype, _, _ = strings.Cut(f.mimetype, ";")
}

// shareFiles posts the files if a channel is named.
func (s *Server) shareFiles(q request, ids []string) error {
	ref := q.str("channel_id")
	if ref == "" {
		return nil
	}
	c, err := s.postable(ref)
	if err != nil {
		return err
	}
	thread, err := s.threadRoot(c.ID, q.str("thread_ts"))
	if err != nil {
		return err
	}
	blocks, err := s.messageBlocks(q.raw("blocks"))
	if err != nil {
		return err
	}
	m := s.asBot(Message{Text: q.str("initial_comment"), Blocks: blocks, Subtype: "file_share", Files: ids}, c.ID, thread)
	s.add(m)
	for _, id := range ids {
		s.files[id].shares[c.ID] = append(s.files[id].shares[c.ID], m.TS)
	}
	return nil
}

func (s *Server) filesInfo(q request) (reply, error) {
	if err := s.need("files:read"); err != nil {
		return nil, err
	}
	f := s.files[q.str("file")]
	if f == nil || !f.done {
		return nil, apiError{Code: "file_not_found"}
	}
	return reply{"file": s.wireFile(f)}, nil
}

// wireFile has no mimetype until the file is processed, as in Slack.
func (s *Server) wireFile(f *file) map[string]any {
	w := map[string]any{"id": f.id, "name": f.name, "title": f.title, "size": len(f.data), "alt_txt": f.alt, "user": s.ws.App.BotUser,
		"mode": "hosted", "is_external": false, "url_private": s.fileURL(f), "url_private_download": s.fileURL(f), "mimetype": ""}
	if !time.Now().Before(f.ready) {
		w["mimetype"] = f.mimetype
	}
	public := map[string]any{}
	channels := slices.AppendSeq([]string{}, maps.Keys(f.shares))
	slices.Sort(channels)
	for _, c := range channels {
		shares := []any{}
		for _, ts := range f.shares[c] {
			shares = append(shares, map[string]any{"ts": ts})
		}
		public[c] = shares
	}
	w["channels"], w["shares"] = channels, map[string]any{"public": public}
	return w
}

// serveFile gives a file to the page. It asks for no token: the stand-in
// listens on the loopback only.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	var f file
	if known := s.files[r.PathValue("id")]; known != nil {
		f = *known
	}
	s.mu.Unlock()
	if !f.done {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", f.mimetype)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// A log excerpt must not run as a page, whatever it is called.
	w.Header().Set("Content-Security-Policy", "sandbox")
	_, _ = w.Write(f.data)
}
