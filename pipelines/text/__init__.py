"""Chat, transcripts and on-screen text: normalising, language, risk scores."""
