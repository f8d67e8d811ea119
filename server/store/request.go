package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"go.uber.org/zap"
)

const requestSuffix = ".json"

// Request is what is known of a request that carries an id.
type Request struct {
	// Caller, Method and ID tell it from others.
	Caller string `json:"caller"`
	Method string `json:"method"`
	ID     string `json:"id"`
	// Subject is the UUID of the domain that it named when it came, empty if that was none.
	Subject string `json:"subject,omitempty"`
	// Digest of all that it asks for.
	Digest []byte `json:"digest"`
	// Asked is when it came, Answered when it was done.
	Asked    time.Time `json:"asked"`
	Answered time.Time `json:"answered,omitzero"`
	// Answer, or Status where it failed, in their wire form; both are nil until it is done.
	Answer []byte `json:"answer,omitempty"`
	Status []byte `json:"status,omitempty"`
	// Boot is the host's, whose end ends all requests.
	Boot []byte `json:"boot,omitempty"`
}

// Done tells whether the outcome is known.
func (r Request) Done() bool { return r.Answer != nil || r.Status != nil }

// name of the file: the id is whatever the caller likes.
func (r Request) name() string {
	h := sha256.New()
	for _, part := range []string{r.Caller, r.Method, r.ID} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)) + requestSuffix
}

// PutRequest stores what is known of a request in place of what was. As with a status, it outlives the daemon, not the
// host.
func (s *Store) PutRequest(r Request) error {
	r.Boot = s.boot
	text, err := json.Marshal(r)
	if err == nil {
		err = s.requests.replace(r.name(), text, false)
	}
	return refusal("store request", r.ID, err)
}

// DeleteRequest forgets a request. One that is not known is as good.
func (s *Store) DeleteRequest(r Request) error {
	return refusal("remove request", r.ID, s.requests.remove(r.name(), false))
}

// Requests reads all that were stored since the host was started. One that cannot be read, or is older than that, is
// removed: it counts as never made.
func (s *Store) Requests() ([]Request, error) {
	all, err := readAll(s.requests, requestSuffix, func(text []byte) (r Request, err error) {
		err = json.Unmarshal(text, &r)
		return r, err
	})
	if err != nil {
		return nil, refusal("read requests", "", err)
	}
	good := make([]Request, 0, len(all))
	for _, r := range all {
		if r.err == nil && bytes.Equal(r.value.Boot, s.boot) && r.value.name() == r.name {
			good = append(good, r.value)
			continue
		}
		s.logger.Info("request is forgotten", zap.String("file", r.name), zap.Error(r.err))
		if err := s.requests.remove(r.name, false); err != nil {
			return nil, refusal("remove request", r.name, err)
		}
	}
	return good, nil
}
