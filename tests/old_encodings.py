"""Texts in many languages, and the encodings that each was written in before Unicode.

A word, a sentence and a paragraph each; the longer ones begin as the Universal Declaration of Human
Rights does.
"""

from __future__ import annotations

CYRILLIC = ("cp1251", "koi8_r", "cp866", "iso8859_5", "mac_cyrillic")
WESTERN = ("cp1252", "cp850", "mac_roman", "iso8859_15")
CENTRAL = ("cp1250", "iso8859_2", "cp852")

TEXTS: dict[str, tuple[tuple[str, ...], str, str, str]] = {  # language: encodings, word, ...
    "ru": (
        CYRILLIC, "привет",
        "Все люди рождаются свободными и равными в своём достоинстве и правах.",
        "Они наделены разумом и совестью и должны поступать в отношении друг друга в духе "
        "братства. Каждый человек имеет право на жизнь, на свободу и на личную "
        "неприкосновенность."),
    "uk": (
        ("cp1251", "koi8_u", "iso8859_5", "cp1125"), "їжак",
        "Всі люди народжуються вільними і рівними у своїй гідності та правах.",
        "Вони наділені розумом і совістю і повинні діяти у відношенні один до одного в дусі "
        "братерства. Ґанок, під'їзд, щастя, український ґрунт, знає її єдиний їздець."),
    "be": (
        ("cp1251", "koi8_u", "iso8859_5"), "ўсё",
        "Усе людзі нараджаюцца свабоднымі і роўнымі ў сваёй годнасці і правах.",
        "Яны надзелены розумам і сумленнем і павінны ставіцца адзін да аднаго ў духу брацтва."),
    "bg": (
        ("cp1251", "koi8_r", "cp866", "iso8859_5"), "България",
        "Всички хора се раждат свободни и равни по достойнство и права.",
        "Те са надарени с разум и съвест и следва да се отнасят помежду си в дух на братство."),
    "sr": (
        ("cp1251", "iso8859_5", "cp855"), "љубав",
        "Сва људска бића рађају се слободна и једнака у достојанству и правима.",
        "Она су обдарена разумом и свешћу и треба једни према другима да поступају у духу "
        "братства."),
    "mk": (
        ("cp1251", "iso8859_5"), "ќерка",
        "Сите човечки суштества се раѓаат слободни и еднакви по достоинство и права.",
        "Тие се обдарени со разум и совест и треба да се однесуваат еден кон друг во духот на "
        "општо човечката припадност."),
    "pl": (
        CENTRAL, "żółć",
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i praw.",
        "Są oni obdarzeni rozumem i sumieniem i powinni postępować wobec innych w duchu "
        "braterstwa. Zażółć gęślą jaźń, a potem idź spać."),
    "cs": (
        CENTRAL, "příliš",
        "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
        "Jsou nadáni rozumem a svědomím a mají spolu jednat v duchu bratrství. Příliš žluťoučký"
        " kůň úpěl ďábelské ódy."),
    "sk": (
        CENTRAL, "šťastie",
        "Všetci ľudia sa rodia slobodní a sebe rovní, čo sa týka ich dôstojnosti a práv.",
        "Sú obdarení rozumom a svedomím a majú navzájom jednať v bratskom duchu. Môj ôsmy kôň "
        "žral vŕbu."),
    "hu": (
        CENTRAL, "őszintén",
        "Minden emberi lény szabadon születik és egyenlő méltósága és joga van.",
        "Az emberek, ésszel és lelkiismerettel bírván, egymással szemben testvéri szellemben "
        "kell hogy viseltessenek. Árvíztűrő tükörfúrógép, őrült űrhajós."),
    "hr": (
        CENTRAL, "čežnja",
        "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima.",
        "Ona su obdarena razumom i sviješću i trebaju jedna prema drugima postupati u duhu "
        "bratstva. Gojazni đačić s biciklom drži hmelj i finu vatu u džepu nošnje."),
    "sl": (
        CENTRAL, "življenje",
        "Vsi ljudje se rodijo svobodni in imajo enako dostojanstvo in enake pravice.",
        "Obdarjeni so z razumom in vestjo in bi morali ravnati drug z drugim kakor bratje. "
        "Šerif bo za vajo spet kuhal domače žgance."),
    "ro": (
        CENTRAL, "ţară",
        "Toate fiinţele umane se nasc libere şi egale în demnitate şi în drepturi.",
        "Ele sunt înzestrate cu raţiune şi conştiinţă şi trebuie să se comporte unele faţă de "
        "altele în spiritul fraternităţii."),
    "fr": (
        WESTERN, "café",
        "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
        "Ils sont doués de raison et de conscience et doivent agir les uns envers les autres "
        "dans un esprit de fraternité. Où est passé le garçon ? Voilà où ça mène, à Noël."),
    "de": (
        WESTERN, "größer",
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
        "Sie sind mit Vernunft und Gewissen begabt und sollen einander im Geiste der "
        "Brüderlichkeit begegnen. Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter "
        "Deich, Ärger und Öl."),
    "es": (
        WESTERN, "mañana",
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como "
        "están de razón y conciencia, deben comportarse fraternalmente.",
        "¿Dónde está el niño? El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y "
        "frío."),
    "pt": (
        WESTERN, "coração",
        "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de "
        "razão e de consciência.",
        "Devem agir uns para com os outros em espírito de fraternidade. Não há ninguém à "
        "espera, três maçãs e um avô."),
    "it": (
        WESTERN, "perché",
        "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
        "Essi sono dotati di ragione e di coscienza e devono agire gli uni verso gli altri in "
        "spirito di fratellanza. Perché la libertà è già così, più o meno, né può essere altro."),
    "sv": (
        WESTERN, "människor",
        "Alla människor är födda fria och lika i värde och rättigheter.",
        "De är utrustade med förnuft och samvete och bör handla gentemot varandra i en anda av "
        "broderskap."),
    "da": (
        WESTERN, "fødsel",
        "Alle mennesker er født frie og lige i værdighed og rettigheder.",
        "De er udstyret med fornuft og samvittighed, og de bør handle mod hverandre i en "
        "broderskabets ånd. Høj bly gom vandt fræk sexquiz på wc. Jeg så en ål på åen."),
    "fi": (
        WESTERN, "yhtäläiset",
        "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Hyvää "
        "päivää.",
        "Heille on annettu järki ja omatunto, ja heidän on toimittava toisiaan kohtaan "
        "veljeyden hengessä."),
    "is": (
        ("cp1252", "cp850"), "þjóð",
        "Hver maður er borinn frjáls og jafn öðrum að virðingu og réttindum.",
        "Menn eru gæddir vitsmunum og samvisku, og ber þeim að breyta bróðurlega hverjum við "
        "annan."),
    "ca": (
        WESTERN, "català",
        "Tots els éssers humans neixen lliures i iguals en dignitat i en drets.",
        "Són dotats de raó i de consciència, i els cal mantenir-se entre ells amb esperit de "
        "fraternitat. Això és així."),
    "tr": (
        ("cp1254", "iso8859_9", "cp857"), "şimdi",
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
        "Akıl ve vicdana sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket "
        "etmelidirler. İstanbul'da ığdır ağacı gölgesinde çay içtik."),
    "lt": (
        ("cp1257", "iso8859_13", "cp775"), "ąžuolas",
        "Visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis.",
        "Jiems suteiktas protas ir sąžinė ir jie turi elgtis vienas kito atžvilgiu kaip "
        "broliai. Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą."),
    "lv": (
        ("cp1257", "iso8859_13", "cp775"), "šķūnis",
        "Visi cilvēki piedzimst brīvi un vienlīdzīgi savā pašcieņā un tiesībās.",
        "Viņi ir apveltīti ar saprātu un sirdsapziņu, un viņiem jāizturas citam pret citu "
        "brālības garā."),
    "et": (
        ("cp1257", "iso8859_13", "iso8859_15", "cp1252"), "õhtusöök",
        "Kõik inimesed sünnivad vabadena ja võrdsetena oma väärikuselt ja õigustelt.",
        "Neile on antud mõistus ja südametunnistus ja nende suhtumist üksteisesse peab kandma "
        "vendluse vaim."),
    "el": (
        ("cp1253", "iso8859_7", "cp737"), "άνθρωπος",
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
        "Είναι προικισμένοι με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ "
        "τους με πνεύμα αδελφοσύνης."),
    "he": (
        ("cp1255", "iso8859_8", "cp862"), "שלום",
        "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
        "כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג איש ברעהו ברוח של אחווה."),
    "ar": (
        ("cp1256", "iso8859_6", "cp720"), "السلام",
        "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.",
        "وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء. لكل فرد الحق في الحياة "
        "والحرية."),
    "vi": (
        ("cp1258",), "người",
        "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
        "Mọi con người đều được tạo hóa ban cho lý trí và lương tâm và cần phải đối xử với nhau"
        " trong tình bằng hữu."),
    "th": (
        ("cp874", "tis_620"), "สวัสดี",
        "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน"
        "ในเกียรติศักดิ์และสิทธิ",
        "ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ"),
    "ja": (
        ("cp932", "euc_jp", "iso2022_jp"), "日本語",
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等であ"
        "る。",
        "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければなら"
        "ない。カタカナも使う。"),
    "zh": (
        ("gb18030", "gb2312", "hz"), "中文",
        "人人生而自由,在尊严和权利上一律平等。",
        "他们赋有理性和良心,并应以兄弟关系的精神相对待。人人有资格享有本宣言所载的一切权"
        "利和自由。"),
    "zh-hant": (
        ("big5",), "學習",
        "人人生而自由，在尊嚴和權利上一律平等。",
        "他們賦有理性和良心，並應以兄弟關係的精神互相對待。這個問題還沒有人說過。"),
    "ko": (
        ("cp949", "euc_kr", "iso2022_kr"), "안녕하세요",
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
        "인간은 천부적으로 이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다."),
}
WIDE_AND_UTF7 = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-7")


def samples(language: str) -> dict[str, str]:
    """Return a language's word, sentence and paragraph."""
    _, word, sentence, more = TEXTS[language]
    return {"word": word, "sentence": sentence + "\n", "paragraph": f"{sentence} {more}\n"}


def encoded(text: str, codec: str) -> bytes | None:
    """Return a text in an encoding, None where that lacks a letter of it."""
    import unicodedata

    if codec == "cp1258":  # a letter and its tone are two
        text = "".join(char if len(unicodedata.normalize("NFD", char)) == 1 or _has(char, codec)
                       else _parted(char) for char in text)
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return None


def _has(char: str, codec: str) -> bool:
    try:
        return bool(char.encode(codec))
    except UnicodeEncodeError:
        return False


def _parted(char: str) -> str:
    """Return a letter of Vietnamese as cp1258 has it: with its hat, and the tone behind it."""
    import unicodedata

    parts = unicodedata.normalize("NFD", char)
    tones = [part for part in parts[1:] if part in "\u0300\u0301\u0303\u0309\u0323"]
    rest = "".join(part for part in parts if part not in tones)
    return unicodedata.normalize("NFC", rest) + "".join(tones)
