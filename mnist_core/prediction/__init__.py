"""What a kept model says of single images."""
