package redoubt_test

import rego.v1

places := ["login", "face", "voice", "face_and_voice", "approval_request", "approval_answer"]

bands := ["low", "medium", "high"]

test_everything_is_allowed if {
	every place in places {
		every band in bands {
			said := data.redoubt.decision with input as {"place": place, "risk": {"band": band, "score": 0.9, "signals": ["velocity"]}}
			said.effect == "allow"
		}
	}
}
