package engine

import (
	"context"
	"errors"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// admit reads a definition as all that come from outside are read: parsed, completed, checked. The warnings name what
// is not honoured, here or on this host.
func (e *Engine) admit(ctx context.Context, source *davitv1.DefinitionSource, strict bool) (*davitv1.Domain, []*davitv1.Warning, error) {
	return e.admitOn(ctx, source, domain.ReadOptions{Strict: strict, Host: e.host})
}

// admitOn reads a definition with defaults of a host that the caller chooses.
func (e *Engine) admitOn(ctx context.Context, source *davitv1.DefinitionSource, o domain.ReadOptions) (*davitv1.Domain, []*davitv1.Warning, error) {
	def, warnings, err := domain.Read(source, o)
	if err != nil {
		return nil, nil, err
	}
	asleep(def)
	more, err := e.driver.Check(ctx, def)
	warnings = append(warnings, more...)
	if err != nil {
		// What the host lacks today it may have tomorrow; whoever starts the domain is told.
		warnings = append(warnings, &davitv1.Warning{Message: "it could not be started now: " + err.Error()})
	}
	return def, warnings, nil
}

// ConvertDefinition reads a definition and writes it in every notation.
func (e *Engine) ConvertDefinition(_ context.Context, q *davitv1.ConvertDefinitionRequest) (*davitv1.ConvertDefinitionResponse, error) {
	def, warnings, err := domain.Read(q.GetSource(), domain.ReadOptions{Strict: q.GetStrict(), Host: e.host})
	if err != nil {
		return nil, err
	}
	asleep(def)
	xml, errXML := domain.FormatXML(def, domain.FormatOptions{Inactive: true})
	json, errJSON := domain.FormatJSON(def)
	yaml, errYAML := domain.FormatYAML(def)
	if err := errors.Join(errXML, errJSON, errYAML); err != nil {
		return nil, err
	}
	return &davitv1.ConvertDefinitionResponse{
		Definition: def, Xml: xml, Json: json, Yaml: yaml, Warnings: warnings,
	}, nil
}
