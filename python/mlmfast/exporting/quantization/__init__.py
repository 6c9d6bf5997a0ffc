"""Lower precisions, and how far their predictions agree with float32."""
