package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unknown is runtime.Unknown's envelope around a message whose length is n.
func unknown(apiVersion, kind string, n int) []byte {
	tm := ld(ld(nil, 0x0a, []byte(apiVersion)), 0x12, []byte(kind))
	return uvarint(append(ld([]byte("k8s\x00"), 0x0a, tm), 0x12), uint64(n))
}

var unknownEnd = []byte{0x1a, 0, 0x22, 0}

type reply struct {
	w     http.ResponseWriter
	r     *http.Request
	kind  string
	proto bool
}

func (r reply) send(pieces [][]byte) {
	total := 0
	for _, p := range pieces {
		total += len(p)
	}
	kind := r.kind + " json"
	r.w.Header().Set("Content-Type", jsonType)
	if r.proto {
		kind = r.kind + " protobuf"
		r.w.Header().Set("Content-Type", pbType)
	}
	var out io.Writer = r.w
	counted := &counter{w: r.w}
	if total > 128<<10 && strings.Contains(r.r.Header.Get("Accept-Encoding"), "gzip") {
		kind += " gzip"
		r.w.Header().Set("Content-Encoding", "gzip")
		g, _ := gzip.NewWriterLevel(counted, 1)
		defer func() { g.Close(); tally(kind, counted.n) }()
		out = g
	} else {
		r.w.Header().Set("Content-Length", strconv.Itoa(total))
		defer func() { tally(kind, counted.n) }()
		out = counted
	}
	b := bufio.NewWriterSize(out, 64<<10)
	for _, p := range pieces {
		b.Write(p)
	}
	b.Flush()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (r reply) object(apiVersion, kind string, o any) {
	if r.proto {
		b, err := o.(interface{ Marshal() ([]byte, error) }).Marshal()
		check(err)
		r.send([][]byte{unknown(apiVersion, kind, len(b)), b, unknownEnd})
		return
	}
	b, err := json.Marshal(o)
	check(err)
	r.send([][]byte{b})
}

func (r reply) fail(code int32, reason metav1.StatusReason, message string) {
	r.w.Header().Set("Content-Type", jsonType)
	r.w.WriteHeader(int(code))
	json.NewEncoder(r.w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Message: message, Reason: reason, Code: code})
	tally(r.kind+" error", 0)
}
