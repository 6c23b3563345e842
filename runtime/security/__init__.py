"""Keys and what is done with them: key files, pseudonyms, sealed boxes, personal ciphertexts."""
