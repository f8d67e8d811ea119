package server

import (
	"fmt"
	"reflect"

	"go.uber.org/zap"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/auth"
)

// readAgain are the keys that hold when the configuration is read again; all others hold from the next start on.
var readAgain = map[string]bool{
	"tls.certificate": true, "tls.key": true, "tls.client_ca": true, "tls.revoked": true, "tls.role": true,
}

// ReloadFrom reads a configuration and takes it in, see [Server.Reload]. Why it could not is in the log, and told by those who
// ask how the daemon is, until it can.
func (s *Server) ReloadFrom(read func() (Config, error)) error {
	c, err := read()
	if err == nil {
		err = s.Reload(c)
	}
	if err != nil {
		s.log.Error("configuration is not read again; all stays as it was", zap.Error(err))
		s.stale.Store(&err)
		return err
	}
	s.stale.Store(nil)
	return nil
}

// staleness is what is to be known of a configuration that could not be read again. Its fault, which may name files and
// certificates, is not for the public.
func (s *Server) staleness(public bool) []*davitv1.Finding {
	err := s.stale.Load()
	if err == nil {
		return nil
	}
	f := &davitv1.Finding{
		Subject: "configuration", Health: davitv1.Health_HEALTH_LIMITED, Seen: "it has a fault and could not be read again",
		Disables: "what was changed in it since: certificates, roles and revocations are as they were",
		Remedy:   "davitd --check tells the fault, as the daemon's log does; mend it and 'systemctl reload davitd'",
	}
	if !public {
		f.Seen += ": " + (*err).Error()
	}
	return []*davitv1.Finding{f}
}

// Reload takes what may change without a new start from a configuration: who may call over the network. If it cannot be,
// all stays as it was. Connections whose rights became less are ended. What else has changed is named in the log.
func (s *Server) Reload(c Config) error {
	policy := auth.Denying()
	if s.network != nil && len(c.TLS.Listen) > 0 {
		var err error
		if policy, err = c.TLS.policy(); err != nil {
			return fmt.Errorf("reload: %w", err)
		}
		s.tellPolicy(c.TLS, policy)
	}
	cut := 0
	if s.network != nil {
		if len(c.TLS.Listen) == 0 {
			s.log.Warn("tls.listen is empty now: nobody on the network may do anything")
		}
		s.network.SetPolicy(policy)
		cut = s.clients.CutOff()
	}
	if keys := s.options.Config.changes(c); len(keys) > 0 {
		s.log.Warn("some keys of the configuration have changed and hold from the next start on", zap.Strings("keys", keys))
	}
	s.log.Info("configuration is read again", zap.Int("roles", len(c.TLS.Role)), zap.Int("revoked", len(c.TLS.Revoked)),
		zap.Int("connections_ended", cut))
	return nil
}

// changes are the keys that another configuration gives other values, of those that hold from a start on.
func (c Config) changes(other Config) []string {
	return changedKeys("", reflect.ValueOf(c), reflect.ValueOf(other))
}

// changedKeys compares two tables, of which a prefix is the name.
func changedKeys(prefix string, a, b reflect.Value) (keys []string) {
	for i := range a.NumField() {
		key := prefix + a.Type().Field(i).Tag.Get("toml")
		switch {
		case a.Field(i).Kind() == reflect.Struct:
			keys = append(keys, changedKeys(key+".", a.Field(i), b.Field(i))...)
		case readAgain[key] || a.Field(i).Kind() == reflect.Slice && a.Field(i).Len() == 0 && b.Field(i).Len() == 0:
		case !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
			keys = append(keys, key)
		}
	}
	return keys
}
