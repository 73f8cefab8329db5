#!/usr/bin/env python3
"""Makes the demo recordings: en.wav, en.yaml, es.wav and es.yaml.

Needs Debian's espeak-ng (its library is called for the time of each word),
sox (resampling to 8 kHz) and nothing else:

    apt-get install -y espeak-ng sox && ./generate.py

Each call is stereo mu-law at 8 kHz: left the customer, right the agent, a voice
each. A word begins where espeak-ng's word event says and ends where the sound
falls below a threshold before the next word. Turns follow each other after the
pause given below; a negative pause is an overlap.
"""
import ctypes
import struct
import subprocess

CALLS = {
    "en": ("en-US", {"customer": ("en-gb+f4", 192), "agent": ("en-us+m3", 200)}, [
        ("agent", 0.5, "Thank you for calling Brightline, my name is Martin. How can I help you today?"),
        ("customer", 0.7, "Hi Martin. My internet connection drops every few minutes, and the light on my router keeps blinking orange."),
        ("agent", 0.6, "I am sorry to hear that. When did the connection start to drop?"),
        ("customer", 0.8, "It started on Monday, after the storm. I already tried to restart the router twice."),
        ("agent", 0.5, "Thanks for trying that. Let me check the line from here, one moment please."),
        ("customer", 1.2, "Sure. Do I need to update the firmware, or will you send a technician?"),
        ("agent", 0.7, "The line looks good, so let us update the firmware first. It takes about five minutes."),
        ("customer", -0.6, "Okay, and can I keep my wireless password after the update?"),
        ("agent", 0.6, "Yes, your settings and your password stay the same."),
        ("customer", 0.7, "Perfect. And how do I get a credit for the days without service?"),
        ("agent", 0.6, "I have added a credit of ten dollars to your next bill."),
        ("customer", 0.6, "Great, thank you so much for your help. Goodbye."),
    ]),
    "es": ("es-ES", {"customer": ("es+m4", 188), "agent": ("es-419+f2", 194)}, [
        ("agent", 0.5, "Gracias por llamar a Brightline, le atiende Lucía. ¿En qué puedo ayudarle?"),
        ("customer", 0.7, "Hola, buenos días. Mi factura de este mes es más alta de lo normal y no entiendo por qué."),
        ("agent", 0.6, "Con mucho gusto la reviso. ¿Me confirma el mes de la factura, por favor?"),
        ("customer", 0.8, "Sí, es la factura de octubre. Hay un cargo de roaming de quince euros que no reconozco."),
        ("agent", 0.9, "Ya lo veo. El cargo viene de datos usados fuera de la Unión Europea, el día doce."),
        ("customer", -0.5, "Pero yo no salí de viaje. ¿Cómo puedo reclamar ese cargo?"),
        ("agent", 0.6, "Abro la reclamación ahora mismo y el importe queda en suspenso."),
        ("customer", 0.7, "Muy bien. ¿Cuánto tarda la devolución, y cómo puedo cambiar la fecha de pago?"),
        ("agent", 0.6, "La devolución tarda unos cinco días hábiles y la fecha se cambia en la aplicación."),
        ("customer", 0.7, "Perfecto, muchas gracias por su ayuda. Adiós."),
    ]),
}
RATE = 8000
QUIET = 0.012  # share of full scale below which a 5 ms stretch is no speech


class Event(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("uid", ctypes.c_uint), ("text_position", ctypes.c_int), ("length", ctypes.c_int),
                ("audio_position", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", ctypes.c_char * 8)]


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))
espeak = ctypes.CDLL("libespeak-ng.so.1")
native = espeak.espeak_Initialize(1, 0, None, 0)  # AUDIO_OUTPUT_RETRIEVAL
pcm, marks = bytearray(), []


@CALLBACK
def collect(wav, n, events):
    if wav and n > 0:
        pcm.extend(ctypes.string_at(wav, 2 * n))
    i = 0
    while events[i].type:
        if events[i].type == 1:  # a word begins
            marks.append((events[i].text_position - 1, events[i].audio_position / 1000))
        i += 1
    return 0


espeak.espeak_SetSynthCallback(collect)


def speak(voice, speed, text):
    """Returns 8 kHz samples and [(word, start, end)] in seconds."""
    pcm.clear()
    marks.clear()
    espeak.espeak_SetVoiceByName(voice.encode())
    espeak.espeak_SetParameter(1, speed, 0)
    data = text.encode() + b"\0"
    espeak.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)  # positions in characters, UTF-8
    espeak.espeak_Synchronize()
    raw = subprocess.run(["sox", "-t", "raw", "-r", str(native), "-e", "signed", "-b", "16", "-c", "1", "-", "-t", "raw", "-r", str(RATE), "-",
                          "gain", "-3", "sinc", "150-3600", "gain", "-n", "-4"], input=bytes(pcm), stdout=subprocess.PIPE, check=True).stdout
    samples = struct.unpack("<%dh" % (len(raw) // 2), raw)
    words, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        times = [t for p, t in marks if start <= p < at]
        words.append([word, min(times) if times else None, None])
    for i, w in enumerate(words):
        if w[1] is None:  # espeak-ng says "I am" as one word: share its time by letters
            after = next((x[1] for x in words[i + 1:] if x[1] is not None), len(samples) / RATE)
            run = next((k for k in range(i, len(words)) if words[k][1] is not None), len(words))
            letters = [len(x[0]) for x in words[i - 1:run]]
            w[1] = words[i - 1][1] + (after - words[i - 1][1]) * letters[0] / sum(letters)
    for i, w in enumerate(words):
        limit = words[i + 1][1] if i + 1 < len(words) else len(samples) / RATE
        end = int(limit * RATE)
        while end > int(w[1] * RATE) + 400 and max(abs(s) for s in samples[end - 40:end]) < QUIET * 32768:
            end -= 40
        w[2] = end / RATE
    return samples, words


def mulaw(s):
    sign, v = (0x80, -s) if s < 0 else (0, s)
    v = min(v, 32635) + 0x84
    e = v.bit_length() - 8
    return ~(sign | e << 4 | v >> (e + 3) & 15) & 255


for name, (language, voices, turns) in CALLS.items():
    tracks, lines, end = {"customer": [], "agent": []}, [], 0.0
    for role, pause, text in turns:
        samples, words = speak(*voices[role], text)
        start = end + pause
        track = tracks[role]
        track.extend([0] * (int(start * RATE) - len(track)))
        start = len(track) / RATE
        track.extend(samples[:int(words[-1][2] * RATE) + RATE // 10])
        end = start + words[-1][2]
        cells = ", ".join('["%s", %.3f, %.3f]' % (w, start + a, start + b) for w, a, b in words)
        lines.append("  - {speaker: %s, words: [%s]}\n" % (role, cells))
    length = max(len(t) for t in tracks.values()) + RATE
    for t in tracks.values():
        t.extend([0] * (length - len(t)))
    data = bytes(mulaw(s) for pair in zip(tracks["customer"], tracks["agent"]) for s in pair)
    with open(name + ".wav", "wb") as f:
        f.write(struct.pack("<4sI4s4sIHHIIHHH4sI", b"RIFF", 38 + len(data), b"WAVE", b"fmt ", 18, 7, 2, RATE, 2 * RATE, 2, 8, 0, b"data", len(data)))
        f.write(data)
    with open(name + ".yaml", "w") as f:
        f.write("# Made by generate.py; words are [text, start, end] in seconds.\n")
        f.write("language: %s\nspeakers: [customer, agent] # by channel, left first\nutterances:\n" % language)
        f.writelines(lines)
    print("%s: %.1f s, %d bytes" % (name, length / RATE, len(data)))
