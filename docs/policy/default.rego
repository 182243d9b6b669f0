# The default: asks for nothing beside the typed rules, as a tenant without a bundle.
package redoubt

import rego.v1

decision := {"effect": "allow", "reasons": []}
