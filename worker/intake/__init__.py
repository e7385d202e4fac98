"""The listener: a Storage and Verification SCP that keeps bytes as received; its 0x0000 means that they are durable."""
